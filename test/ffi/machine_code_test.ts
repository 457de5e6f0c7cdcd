import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { loansCode } from "../../ffi/machine_code/loans.ts";
import { poolCode } from "../../ffi/machine_code/mod.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";

const TOOLS = { x64: "x86_64-linux-gnu-", arm64: "aarch64-linux-gnu-" } as const;

/** How the binary tools for an architecture are called here; `undefined` where they are not installed. */
function toolPrefix(arch: keyof typeof TOOLS): string | undefined {
  const native = process.arch === arch ? [""] : [];
  return [...native, TOOLS[arch]].find((prefix) =>
    ["as", "objcopy", "nm"].every((tool) => spawnSync(`${prefix}${tool}`, ["--version"]).status === 0)
  );
}

function tool(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** The bytes of the source's code, and where its symbols lie. */
function assemble(
  name: string,
  arch: keyof typeof TOOLS,
  prefix: string,
): { bytes: Uint8Array; symbols: Record<string, number> } {
  using folder = new TemporaryFolder();
  const source = fileURLToPath(new URL(`../../ffi/machine_code/${name}_${arch}.s`, import.meta.url));
  const [object, binary] = [folder.join("code.o"), folder.join("code.bin")];
  tool(`${prefix}as`, "-o", object, source);
  tool(`${prefix}objcopy`, "-O", "binary", "--only-section=.text", object, binary);
  const lines = tool(`${prefix}nm`, object).matchAll(/^([\da-f]+) T (\w+)$/gm);
  const symbols = Object.fromEntries([...lines].map(([, address, name]) => [name, parseInt(address!, 16)]));
  return { bytes: new Uint8Array(readFileSync(binary)), symbols };
}

const ARCHITECTURES = ["x64", "arm64"] as const;

/** Why the harness of an architecture cannot run here. */
function cannotRun(arch: keyof typeof TOOLS): string | false {
  return ![compilerOf(arch), ...emulatorOf(arch)].every((command) => spawnSync(command, ["--version"]).status === 0) &&
    "no compiler or emulator for it";
}

const emulatorOf = (arch: keyof typeof TOOLS): readonly string[] =>
  arch === process.arch ? [] : [`qemu-${arch === "arm64" ? "aarch64" : "x86_64"}`];
const compilerOf = (arch: keyof typeof TOOLS): string => arch === process.arch ? "cc" : `${TOOLS[arch]}gcc`;

/** What a harness in C says of the code. */
function drive(name: string, arch: keyof typeof TOOLS): string {
  using folder = new TemporaryFolder();
  const program = folder.join("harness"), here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
  const sources = [here(`./${name}_harness.c`), here(`../../ffi/machine_code/${name}_${arch}.s`)];
  tool(compilerOf(arch), "-O1", "-static", "-pthread", "-Wl,-z,noexecstack", "-o", program, ...sources);
  const [command = program, ...args] = [...emulatorOf(arch), program];
  return tool(command, ...args);
}

describe("the pool's machine code", () => {
  for (const arch of ARCHITECTURES) {
    const prefix = toolPrefix(arch);
    it(`for ${arch} is what its source assembles to`, {
      skip: prefix === undefined && "no assembler for it",
    }, () => {
      const { bytes, symbols } = assemble("pool", arch, prefix!), code = poolCode(arch);
      assert.deepEqual([...code.bytes], [...bytes]);
      assert.deepEqual([code.start, code.submit, code.leave], [symbols.start, symbols.submit, symbols.leave]);
    });

    it(`for ${arch} runs every request once, and leaves no message for a watched one`, {
      skip: cannotRun(arch),
      timeout: 60_000,
    }, () => assert.equal(drive("pool", arch), "128000 submitted, none left, exiting 1\n"));
  }
});

describe("the loans' machine code", () => {
  for (const arch of ARCHITECTURES) {
    const prefix = toolPrefix(arch);
    it(`for ${arch} is what its source assembles to`, {
      skip: prefix === undefined && "no assembler for it",
    }, () => {
      const { bytes, symbols } = assemble("loans", arch, prefix!), { bytes: ours, ...starts } = loansCode(arch);
      assert.deepEqual([...ours], [...bytes]);
      assert.deepEqual(starts, {
        returnedUnversioned: symbols.returned_unversioned,
        returnedVersioned: symbols.returned_versioned,
        capsuleGone: symbols.capsule_gone,
        withGil: symbols.with_gil,
      });
    });

    it(`for ${arch} loses no loan that two threads give back, and wakes the owner`, {
      skip: cannotRun(arch),
      timeout: 60_000,
    }, () => assert.equal(drive("loans", arch), "60000 back, 0 out, woken, 20000 in the lock\n"));
  }
});
