import assert from "node:assert/strict";
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { ownerEntry, STATE, U32 } from "../../../ffi/process/owner.ts";
import { ensureThreads } from "../../../ffi/process/pool.ts";
import { reap } from "../../../ffi/process/reaper.ts";
import { sweepSharedMemory } from "../../../src/memory/regions.ts";
import type { Cases } from "./mod.ts";
import { told } from "./numpy.ts";

/** A Worker that uses Python: see ../workers/user.ts. */
class User {
  readonly worker: Worker = new Worker(new URL("../workers/user.ts", import.meta.url));

  async ask(action: string): Promise<unknown> {
    const answer = once(this.worker, "message");
    this.worker.postMessage(action);
    return (await answer)[0];
  }
}

async function users(count: number): Promise<User[]> {
  const made = Array.from({ length: count }, () => new User());
  await Promise.all(made.map(({ worker }) => once(worker, "message")));
  return made;
}

async function cleanUpUntil(condition: () => boolean): Promise<boolean> {
  ensureThreads("release", 1);
  for (let turn = 0; !condition() && turn < 100_000; turn++) {
    await setImmediate();
    await reap();
  }
  sweepSharedMemory();
  return condition();
}

/** Python from several threads of JavaScript. */
export const WORKERS: Cases = {
  async "Workers use the same Python at once, and keep what is per thread"(python) {
    python.exec("import threading; per_thread = threading.local(); shared = []");
    const made = await users(2);
    const loops = made.map((user) => user.ask("loop"));
    let own = 0;
    for (; own < 200; own++) assert.equal(told(python, "sum(range(1000))"), 499_500);
    assert.deepEqual(await Promise.all(loops), [300, 300]);
    assert.deepEqual(await Promise.all(made.map((user) => user.ask("remember"))), [true, true]);
    assert.equal(await made[0]!.ask("run"), 42);
    await Promise.all(made.map(({ worker }) => worker.terminate()));
  },

  async "what a Worker lent and held when it was terminated stays while Python has it, and then goes"(python) {
    python.exec("import sys; kept, thing = [], object(); before = sys.getrefcount(thing)");
    const [user] = await users(1), index = await user!.ask("hold") as number;
    assert.equal(told(python, "sys.getrefcount(thing) - before"), 1);
    await user!.worker.terminate();
    const { u32 } = ownerEntry(index);
    assert.ok(await cleanUpUntil(() => told(python, "sys.getrefcount(thing) - before") === 0)); // its references went
    assert.deepEqual(told(python, "[bool((array == 6).all()) for array in kept]"), [true, true, true]);
    assert.notEqual(Atomics.load(u32, U32.state), STATE.free);
    python.exec("kept.clear()");
    assert.ok(await cleanUpUntil(() => Atomics.load(u32, U32.state) === STATE.free));
  },
};
