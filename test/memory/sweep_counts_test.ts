import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { onBun, outcome } from "../cli/spawn.ts";

const CHILD = fileURLToPath(new URL("./children/counted.ts", import.meta.url));
const MOUNT = "mount -t tmpfs -o size=64m tmpfs /dev/shm";
const forbidden = () => spawnSync("unshare", ["-Urm", "sh", "-c", MOUNT]).status !== 0 && "no mounts are allowed here";
const WATCHDOG_MS = 60_000;

const none = { count: 0, bytes: 0 };
/** Tables of two pages, and the data. */
const regions = { count: 3, bytes: (3 * 2 + 1 + 10 + 100) * 4096 };
/** As a block has whole cache lines. */
const block = { count: 1, bytes: 5056 };

describe("sweepSharedMemory, alone in its /dev/shm", { skip: forbidden() }, () => {
  it("counts what dead processes left, to the byte, and nothing else", { timeout: 60_000 }, async () => {
    const run = [process.execPath, "run", ...(onBun ? [] : ["-A", "--no-lock"]), CHILD];
    const child = spawn("unshare", ["-Urm", "sh", "-c", `${MOUNT} && exec "$@"`, "sh", ...run]);
    const watchdog = setTimeout(() => child.kill("SIGKILL"), WATCHDOG_MS);
    const { code, stdout, stderr } = await outcome(child);
    clearTimeout(watchdog);
    assert.equal(code, 0, stderr);
    const [line, end] = stdout.split("\n"), { counts, told, left, names } = JSON.parse(line!);
    assert.equal(end, "END");
    assert.deepEqual(counts, [
      [none, none, none, none],
      [regions, regions, none, none],
      [none, none, none, none],
      [none, block, none, none],
    ]);
    assert.deepEqual(told, regions);
    assert.deepEqual(left, { blocks: 1, bytes: 1024, isUsed: false });
    assert.equal(names, 1); // nobody's
  });
});
