import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type Outcome, runScript } from "./spawn.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

function coload(...args: string[]): Promise<Outcome> {
  return runScript(MAIN, args);
}

describe("coload", () => {
  it("shows its commands", async () => {
    const { code, stdout } = await coload("--help");
    assert.equal(code, 0);
    for (const command of ["install", "doctor"]) assert.match(stdout, new RegExp(`^  ${command} `, "m"));
  });

  it("shows a command's options", async () => {
    const { code, stdout } = await coload("install", "--help");
    assert.equal(code, 0);
    assert.match(stdout, /--version <version>.*--dir <folder>.*--force/s);
  });

  it("shows its version", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../deno.json", import.meta.url), "utf8"));
    assert.deepEqual(await coload("--version"), { code: 0, stdout: `${version}\n`, stderr: "" });
  });

  it("suggests a command for an unknown one", async () => {
    const { code, stderr } = await coload("instal");
    assert.equal(code, 2);
    assert.match(stderr, /unknown command 'instal'\n\(Did you mean install\?\)/);
  });

  it("wants a command", async () => {
    const { code, stderr } = await coload();
    assert.equal(code, 2);
    assert.match(stderr, /^Usage: coload/);
  });

  it("refuses an unknown option and an argument too many", async () => {
    assert.equal((await coload("install", "--fast")).code, 2);
    assert.equal((await coload("install", "everything")).code, 2);
  });

  it("runs nothing when it is imported", async () => {
    const { main } = await import("../../src/cli/main.ts");
    assert.equal(typeof main, "function");
  });
});
