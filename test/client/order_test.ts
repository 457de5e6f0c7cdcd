import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { add, slow } from "../support/models.ts";
import { floats, slowFeeds } from "../support/sessions.ts";
import { soon, until } from "./support.ts";
import { WorkerProcess } from "./worker_process.ts";

/** So many that a run which is not stopped ends long after the test was given up. */
const FOREVER = 10_000_000;

describe("the order of requests", () => {
  for (const sharedMemory of [true, false]) {
    it(`of one client is that in which they were sent${sharedMemory ? "" : ", as bytes"}`, async () => {
      await using worker = await WorkerProcess.start({ add: add(), slow: slow() });
      await using client = await worker.connect({ sharedMemory });
      await using observer = await worker.connect();
      const isState = async (state: string): Promise<boolean> => (await observer.status()).state === state;
      for (const count of [1, 8, 3, 30]) { // so that slots were used in any order
        await soon(Promise.all(Array.from({ length: count }, () => client.infer("slow", slowFeeds(1)))));
      }
      const before = new AbortController(), behind = new AbortController();
      const holding = observer.infer("slow", slowFeeds(FOREVER), { signal: before.signal });
      holding.catch(() => {});
      await until(() => isState("busy"), "the run that keeps the executor");
      const first = Array.from({ length: 10 }, (_, i) => client.infer("slow", slowFeeds(i)));
      const last = client.infer("slow", slowFeeds(FOREVER), { signal: behind.signal });
      last.catch(() => {});
      await client.status(); // by then they were sent
      before.abort();
      for (const [i, { y }] of (await soon(Promise.all(first), "those before")).entries()) {
        assert.equal(y!.data[i], 0);
      }
      behind.abort("enough");
      await assert.rejects(last, (error) => error === "enough");
    });

    it(`is by priority first${sharedMemory ? "" : ", as bytes"}`, async () => {
      await using worker = await WorkerProcess.start({ add: add(), slow: slow() });
      await using client = await worker.connect({ sharedMemory });
      await using observer = await worker.connect();
      await client.infer("slow", slowFeeds(1));
      await client.infer("add", { a: floats([1, 2]), b: floats([3, 4]) });
      const before = new AbortController(), behind = new AbortController();
      const holding = observer.infer("slow", slowFeeds(FOREVER), { signal: before.signal });
      holding.catch(() => {});
      await until(async () => (await observer.status()).state === "busy", "the run that keeps the executor");
      const low = client.infer("slow", slowFeeds(FOREVER), { priority: "low", signal: behind.signal });
      low.catch(() => {});
      const normal = client.infer("slow", slowFeeds(2)),
        high = client.infer("slow", slowFeeds(3), { priority: "high" });
      await client.status();
      before.abort();
      assert.equal((await soon(high)).y!.data[3], 0);
      assert.equal((await soon(normal)).y!.data[2], 0);
      behind.abort("enough");
      await assert.rejects(low, (error) => error === "enough");
    });
  }
});
