import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { ModelClient, WorkerStatus } from "../../src/client/mod.ts";
import { add, slow } from "../support/models.ts";
import { failure, floats, slowFeeds } from "../support/sessions.ts";
import { soon, until } from "./support.ts";
import { WorkerProcess } from "./worker_process.ts";

/** So many that a run which is not stopped ends long after the test was given up. */
const FOREVER = 10_000_000;
const reason = new Error("changed my mind"), timeout = failure("WorkerError", "WORKER_TIMEOUT");
const feeds = { a: floats([1, 2]), b: floats([3, 4]) };

const runsOf = ({ models }: WorkerStatus, name: string): number => models.find((model) => model.name === name)!.runs;

for (const sharedMemory of [true, false]) {
  describe(`a request that is given up${sharedMemory ? "" : ", as bytes"}`, () => {
    let worker: WorkerProcess, client: ModelClient, observer: ModelClient;
    beforeEach(async () => {
      worker = await WorkerProcess.start({ add: add(), slow: slow() });
      client = await worker.connect({ sharedMemory });
      observer = await worker.connect();
      for (const name of ["add", "slow"]) await client.model(name); // so that it is known
    });
    afterEach(async () => {
      await client[Symbol.asyncDispose]();
      await observer[Symbol.asyncDispose]();
      await worker[Symbol.asyncDispose]();
    });

    /** The only executor is busy with a run that nothing ends but `stop`. */
    async function busy(): Promise<{ running: Promise<unknown>; stop: AbortController }> {
      const stop = new AbortController(), isState = async (state: string) => (await observer.status()).state === state;
      await until(() => isState("ready"), "the worker's rest");
      const running = observer.infer("slow", slowFeeds(FOREVER), { signal: stop.signal });
      running.catch(() => {});
      await until(() => isState("busy"), "the worker's run");
      return { running, stop };
    }

    const isFree = async (): Promise<void> => {
      const { c } = await soon(client.infer("add", feeds), "a request after it");
      assert.deepEqual([...c!.data], [4, 6]);
    };

    it("before it began never gets to the worker", async () => {
      await isFree();
      const before = runsOf(await observer.status(), "add");
      await assert.rejects(client.infer("add", feeds, { signal: AbortSignal.abort(reason) }), reason);
      await assert.rejects(client.infer("add", feeds, { signal: AbortSignal.abort() }), { name: "AbortError" });
      assert.equal(runsOf(await observer.status(), "add"), before);
    });

    it("right after it began does not run on", async () => {
      for (let turns = 0; turns < 12; turns++) {
        const stop = new AbortController();
        const running = client.infer("slow", slowFeeds(FOREVER), { signal: stop.signal });
        running.catch(() => {});
        for (let turn = 0; turn < turns; turn++) await null;
        stop.abort(reason);
        await assert.rejects(soon(running, `a request aborted after ${turns} turns`), reason);
        await isFree();
      }
    });

    it("while it runs is stopped in the worker", async () => {
      const stop = new AbortController(), running = client.infer("slow", slowFeeds(FOREVER), { signal: stop.signal });
      running.catch(() => {});
      await until(async () => (await observer.status()).state === "busy", "the run");
      stop.abort(reason);
      await assert.rejects(soon(running), reason);
      await isFree();
      await until(async () => (await observer.status()).state === "ready", "the worker's rest");
    });

    it("while it waits for its turn never runs", async () => {
      const { running, stop } = await busy(), before = runsOf(await observer.status(), "add");
      const waiting = new AbortController(),
        requests = [1, 2, 3].map(() => client.infer("add", feeds, { signal: waiting.signal }));
      for (const request of requests) request.catch(() => {});
      await client.status(); // by then they were sent
      waiting.abort(reason);
      for (const request of requests) await assert.rejects(soon(request), reason);
      stop.abort(reason);
      await assert.rejects(soon(running), reason);
      await isFree();
      assert.equal(runsOf(await observer.status(), "add"), before + 1);
    });

    async function abortTogether(count: number): Promise<void> {
      const stop = new AbortController();
      const requests = Array.from(
        { length: count },
        () => client.infer("slow", slowFeeds(FOREVER), { signal: stop.signal }),
      );
      for (const request of requests) request.catch(() => {});
      await client.status();
      stop.abort(reason);
      const ends = await soon(Promise.allSettled(requests));
      assert.ok(ends.every((end) => end.status === "rejected" && end.reason === reason));
    }

    it("300 times leaves the client usable", async () => {
      for (let round = 0; round < 3; round++) {
        await abortTogether(100);
        await isFree();
      }
    });

    it("300 at once leaves the client usable", async () => {
      await abortTogether(300);
      await until(async () => (await observer.status()).state === "ready", "the worker's rest");
      await isFree();
    });

    it("leaves the turns of others that wait for a slot to them", async () => {
      const { running, stop } = await busy(), gone = new AbortController();
      const first = Array.from({ length: 200 }, () => client.infer("add", feeds));
      const aborted = Array.from({ length: 200 }, () => client.infer("add", feeds, { signal: gone.signal }));
      const last = Array.from({ length: 200 }, () => client.infer("add", feeds));
      const ends = Promise.allSettled(aborted), results = Promise.all([...first, ...last]);
      results.catch(() => {});
      await client.status();
      gone.abort(reason);
      assert.ok((await soon(ends)).every((end) => end.status === "rejected" && end.reason === reason));
      stop.abort(reason);
      await assert.rejects(soon(running), reason);
      for (const { c } of await soon(results, "requests that were not aborted")) assert.equal(c!.data[1], 6);
    });

    it("by its time is WORKER_TIMEOUT, and stopped in the worker", async () => {
      await assert.rejects(soon(client.infer("slow", slowFeeds(FOREVER), { timeoutMs: 100 })), timeout);
      await isFree();
      const { running, stop } = await busy();
      await assert.rejects(soon(client.infer("add", feeds, { timeoutMs: 50 })), timeout);
      stop.abort(reason);
      await assert.rejects(soon(running), reason);
      await isFree();
    });

    it("by its client's time is too, and a request's own goes before", async () => {
      await using hasty = await worker.connect({ sharedMemory, timeoutMs: 100 });
      await assert.rejects(soon(hasty.infer("slow", slowFeeds(FOREVER))), timeout);
      assert.equal((await soon(hasty.infer("slow", slowFeeds(300), { timeoutMs: 15_000 }))).y!.size, 256);
    });

    it("by its time while another keeps the only executor leaves that one alone", async () => {
      const other = observer.infer("slow", slowFeeds(300));
      await assert.rejects(soon(client.infer("slow", slowFeeds(FOREVER), { timeoutMs: 20 })), timeout);
      assert.equal((await soon(other)).y!.data[300 % 256], 0);
      await isFree();
    });

    it("synchronously, by its time, is stopped too", async () => {
      await using model = await client.model("slow");
      await using sum = await client.model("add");
      for (let i = 0; i < 3; i++) {
        assert.throws(() => model.runSync(slowFeeds(FOREVER), { timeoutMs: 100 }), timeout);
        assert.deepEqual([...sum.runSync(feeds, { timeoutMs: 15_000 }).c!.data], [4, 6]);
      }
      await isFree();
    });

    it("gives up what is no time with an error", async () => {
      for (const timeoutMs of [0, -1, NaN, "1"]) {
        const given = { timeoutMs: timeoutMs as number };
        await assert.rejects(client.infer("add", feeds, given), failure("RangeError", "OUT_OF_RANGE"));
      }
    });
  });
}

describe("a worker that answers nothing", () => {
  for (const sharedMemory of [true, false]) {
    it(`is WORKER_TIMEOUT for every request${sharedMemory ? "" : ", as bytes"}`, async () => {
      await using worker = await WorkerProcess.start({ add: add() });
      await using client = await worker.connect({ sharedMemory, timeoutMs: 300 });
      await using known = await worker.connect({ sharedMemory, timeoutMs: 300 });
      await using model = await known.model("add");
      await worker.pause();
      assert.throws(() => model.runSync(feeds), timeout);
      await assert.rejects(soon(model.run(feeds), "a known model's run"), timeout);
      await assert.rejects(soon(client.infer("add", feeds), "an unknown model's run"), timeout);
      await assert.rejects(soon(client.model("add"), "a model's description"), timeout);
      await assert.rejects(soon(client.status(), "a status"), timeout);
      assert.equal(await soon(client.health(), "a health"), false);
      await assert.rejects(soon(worker.connect({ sharedMemory, timeoutMs: 300 }), "a connection"), timeout);
      worker.signal("SIGCONT");
      assert.deepEqual([...(await soon(model.run(feeds, { timeoutMs: 15_000 }))).c!.data], [4, 6]);
      assert.equal(await soon(client.health()), true);
    });
  }
});
