import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { ensureThreads } from "../../ffi/process/pool.ts";
import { reap } from "../../ffi/process/reaper.ts";

const GIB = 1 << 20;
const mappedKiB = (): number => Number(/VmSize:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))![1]);

describe("native tensors of a Worker", () => {
  it("go when it is terminated without having disposed them", async () => {
    ensureThreads("release", 1);
    const worker = new Worker(new URL("./holder.ts", import.meta.url));
    assert.deepEqual(await once(worker, "message"), [104]);
    const held = mappedKiB();
    await worker.terminate();
    for (let turn = 0; held - mappedKiB() <= 3 * GIB && turn < 100_000; turn++) { // its thread may take a moment to end
      await setImmediate();
      await reap(); // which may bury the Workers of other tests first
    }
    assert.ok(held - mappedKiB() > 3 * GIB);
  });
});
