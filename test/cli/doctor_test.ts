import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Report } from "../../src/cli/doctor/diagnose.ts";
import { onBun, type Outcome, runScript } from "./spawn.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

function doctor(args: string[], env: Record<string, string> = {}): Promise<Outcome> {
  const { COLOAD_ONNXRUNTIME: _, ORT_DYLIB_PATH: __, ...rest } = process.env as Record<string, string>;
  return runScript(MAIN, ["doctor", ...args], { env: { ...rest, ...env } });
}

describe("coload doctor", () => {
  it("says what it found, for people", async () => {
    const { code, stdout, stderr } = await doctor([]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`^Coload [\\d.]+ on ${onBun ? "bun" : "deno"} [\\d.]+, \\w+-\\w+\\n`));
    assert.match(stdout, /^✓ library +onnxruntime \d+\.\d+\.\d+, \/.* \(.+\)$/m);
    assert.match(stdout, /^. calls/m);
    assert.match(stdout, /^. threads/m);
    assert.match(stdout, /^✓ provider +CPUExecutionProvider$/m);
    assert.match(stdout, /environment variable COLOAD_ONNXRUNTIME: not set/);
  });

  it("says it for programs", async () => {
    const { code, stdout } = await doctor(["--json"]);
    assert.equal(code, 0);
    const report: Report = JSON.parse(stdout);
    assert.equal(report.ok, true);
    assert.match(report.library!.version!, /^\d+\.\d+\.\d+$/);
    assert.deepEqual(
      new Set(report.checks.map(({ name }) => name)),
      new Set(["library", "calls", "threads", "provider", "shm", "memfd", "left over", "weights", "python"]),
    );
    assert.equal(report.tried[0]!.how, "option library");
  });

  it("says how to mend a variable that names no library", async () => {
    using folder = new TemporaryFolder();
    const { code, stdout } = await doctor([], { COLOAD_ONNXRUNTIME: folder.join("absent.so") });
    assert.equal(code, 1);
    assert.ok(stdout.includes(`COLOAD_ONNXRUNTIME says, ${folder.join("absent.so")}: no such file`), stdout);
    assert.match(stdout, /change or unset COLOAD_ONNXRUNTIME, or fetch a library that works: .*main\.ts install/);
  });

  it("says what is wrong with a library that is none", async () => {
    using folder = new TemporaryFolder();
    const { code, stdout } = await doctor(["--json"], { COLOAD_ONNXRUNTIME: folder.write("wrong.so", "text") });
    assert.equal(code, 1);
    const { ok, checks, library }: Report = JSON.parse(stdout);
    assert.equal(ok, false);
    assert.equal(library!.path, folder.join("wrong.so"));
    assert.deepEqual(checks.filter(({ state }) => state === "fails"), checks.slice(0, 1));
    assert.match(checks[0]!.says, /Cannot load .*wrong\.so as onnxruntime/);
  });
});
