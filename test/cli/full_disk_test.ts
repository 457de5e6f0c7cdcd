import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { LocalRegistry } from "./local_registry.ts";
import { onBun, outcome } from "./spawn.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const MOUNT = 'mount -t tmpfs -o size=1m tmpfs "$0"';
const forbidden = () => {
  using folder = new TemporaryFolder();
  return spawnSync("unshare", ["-Urm", "sh", "-c", MOUNT, folder.path]).status !== 0 && "no mounts are allowed here";
};

describe("coload install on a full disk", { skip: forbidden() }, () => {
  it("says so and leaves nothing", async () => {
    using folder = new TemporaryFolder();
    await using registry = await LocalRegistry.start((response) => response.end(new Uint8Array(3e6)));
    const run = [process.execPath, "run", ...(onBun ? [] : ["-A"]), MAIN, "install", "--dir", folder.path];
    const script = `${MOUNT} && { "$@"; code=$?; ls -A "$0"; exit $code; }`;
    const env = { ...process.env, ...registry.env };
    const child = spawn("unshare", ["-Urm", "sh", "-c", script, folder.path, ...run], { env });
    const { code, stdout, stderr } = await outcome(child);
    assert.equal(code, 1);
    assert.match(stderr, /Cannot install onnxruntime .*: the disk is full/);
    assert.equal(stdout, "");
  });
});
