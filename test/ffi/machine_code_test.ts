import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
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
function assemble(arch: keyof typeof TOOLS, prefix: string): { bytes: Uint8Array; symbols: Record<string, number> } {
  using folder = new TemporaryFolder();
  const source = fileURLToPath(new URL(`../../ffi/machine_code/pool_${arch}.s`, import.meta.url));
  const [object, binary] = [folder.join("pool.o"), folder.join("pool.bin")];
  tool(`${prefix}as`, "-o", object, source);
  tool(`${prefix}objcopy`, "-O", "binary", "--only-section=.text", object, binary);
  const lines = tool(`${prefix}nm`, object).matchAll(/^([\da-f]+) T (\w+)$/gm);
  const symbols = Object.fromEntries([...lines].map(([, address, name]) => [name, parseInt(address!, 16)]));
  return { bytes: new Uint8Array(readFileSync(binary)), symbols };
}

describe("the pool's machine code", () => {
  for (const arch of ["x64", "arm64"] as const) {
    const prefix = toolPrefix(arch);
    it(`for ${arch} is what its source assembles to`, {
      skip: prefix === undefined && "no assembler for it",
    }, () => {
      const { bytes, symbols } = assemble(arch, prefix!), code = poolCode(arch);
      assert.deepEqual([...code.bytes], [...bytes]);
      assert.deepEqual([code.start, code.submit, code.leave], [symbols.start, symbols.submit, symbols.leave]);
    });

    const emulator = arch === process.arch ? [] : [`qemu-${arch === "arm64" ? "aarch64" : "x86_64"}`];
    const compiler = arch === process.arch ? "cc" : `${TOOLS[arch]}gcc`;
    const runs = [compiler, ...emulator].every((command) => spawnSync(command, ["--version"]).status === 0);
    it(`for ${arch} runs every request once, and leaves no message for a watched one`, {
      skip: !runs && "no compiler or emulator for it",
      timeout: 60_000,
    }, () => {
      using folder = new TemporaryFolder();
      const program = folder.join("harness"), here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
      const sources = [here("./pool_harness.c"), here(`../../ffi/machine_code/pool_${arch}.s`)];
      tool(compiler, "-O1", "-static", "-pthread", "-Wl,-z,noexecstack", "-o", program, ...sources);
      const [command = program, ...args] = [...emulator, program];
      assert.equal(tool(command, ...args), "128000 submitted, none left, exiting 1\n");
    });
  }
});
