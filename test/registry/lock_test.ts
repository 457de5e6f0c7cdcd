import assert from "node:assert/strict";
import { after, afterEach, before, describe, it } from "node:test";
import { Worker } from "node:worker_threads";
import { ModelRegistry } from "../../mod.ts";
import { nothingLeft } from "../support/left.ts";
import { manyNodes } from "../support/models.ts";
import { failure } from "../support/sessions.ts";
import { until } from "./fixtures.ts";

/** Long beyond what another thread needs to take a lock that is free. */
const LONG_MS = 5_000;

const flags = new Int32Array(new SharedArrayBuffer(8));
function askForLock(): void {
  Atomics.store(flags, 1, 0);
  Atomics.store(flags, 0, 1);
  Atomics.notify(flags, 0);
}

/** Whether another thread can take the process's lock while this one waits. */
function isLockFree(): boolean {
  askForLock();
  return Atomics.wait(flags, 1, 0, LONG_MS) !== "timed-out";
}

before(async () => {
  new Worker(new URL("./children/lock_worker.ts", import.meta.url), { workerData: flags });
  askForLock();
  await until("the Worker is up", () => Atomics.load(flags, 1) === 1);
});
after(() => {
  Atomics.store(flags, 0, 2);
  Atomics.notify(flags, 0);
});
afterEach(nothingLeft);

describe("the user's code runs without the process's lock", () => {
  const large = { model: 1, memoryBytes: 60 };

  it("when an object makes way for an object", async () => {
    await using registry = new ModelRegistry({ maxMemoryBytes: 100 });
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const handle = await registry.getOrLoad("a", () => ({ ...large, dispose: () => resolve(isLockFree()) }));
    handle[Symbol.dispose]();
    using _other = await registry.getOrLoad("b", () => large);
    assert.ok(await promise);
  });

  it("when an object makes way for a session", async () => {
    const model = manyNodes(1);
    await using registry = new ModelRegistry({ maxMemoryBytes: model.length + 10 });
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const handle = await registry.getOrLoad("a", () => ({ ...large, dispose: () => resolve(isLockFree()) }));
    handle[Symbol.dispose]();
    await registry.load(model).then((session) => session[Symbol.asyncDispose](), () => {}); // it may need more
    assert.ok(await promise);
  });

  it("when there is no room for an object", async () => {
    await using registry = new ModelRegistry({ maxMemoryBytes: 10 });
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const loading = registry.getOrLoad("a", () => ({ ...large, dispose: () => resolve(isLockFree()) }));
    await assert.rejects(loading, failure("MemoryError", "MEMORY_BUDGET"));
    assert.ok(await promise);
  });

  it("when a loader is told that nobody waits any more", async () => {
    await using registry = new ModelRegistry();
    const stop = new AbortController(), began = Promise.withResolvers<void>(), told = Promise.withResolvers<boolean>();
    const loading = registry.getOrLoad("a", (signal) => {
      signal.addEventListener("abort", () => told.resolve(isLockFree()));
      began.resolve();
      return told.promise.then(() => large);
    }, { signal: stop.signal });
    await began.promise;
    stop.abort(new Error("changed my mind"));
    await assert.rejects(loading, { message: "changed my mind" });
    assert.ok(await told.promise);
  });
});
