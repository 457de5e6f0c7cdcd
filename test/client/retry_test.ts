import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { ModelClient, WorkerStatus } from "../../src/client/mod.ts";
import { Tensor } from "../../mod.ts";
import { add, identity, slow } from "../support/models.ts";
import { failure, floats, slowFeeds } from "../support/sessions.ts";
import { runClient } from "./client_process.ts";
import { soon, until } from "./support.ts";
import { WorkerProcess } from "./worker_process.ts";

const FOREVER = 10_000_000, reason = new Error("changed my mind");
const LARGE = 10 << 20;
const feeds = { a: floats([1, 2]), b: floats([3, 4]) };
const died = failure("WorkerError", "WORKER_DIED"), unavailable = failure("WorkerError", "WORKER_UNAVAILABLE");
const retry = { attempts: 50, minDelayMs: 20, maxDelayMs: 200 };

const requestsOf = ({ models }: WorkerStatus, name: string): number =>
  models.find((model) => model.name === name)!.requests;

/** The same; that it fails, if it does, is an error where it is awaited only. */
function started<T>(request: Promise<T>): Promise<T> {
  request.catch(() => {});
  return request;
}

for (const sharedMemory of [true, false]) {
  describe(`a worker that is killed${sharedMemory ? "" : ", of a client of bytes"}`, () => {
    let worker: WorkerProcess;
    beforeEach(async () => {
      worker = await WorkerProcess.start({ add: add(), large: identity("float32", ["N"]), slow: slow() });
    });
    afterEach(() => worker[Symbol.asyncDispose]());

    async function isBusy(): Promise<void> {
      await using observer = await worker.connect();
      await until(async () => (await observer.status()).state === "busy", "the run");
    }

    /** A request that runs when its worker is killed. */
    async function inFlight(client: ModelClient, idempotent?: boolean): Promise<{ running: Promise<unknown> }> {
      const options = idempotent === undefined ? {} : { idempotent };
      const running = started(client.infer("slow", slowFeeds(FOREVER), options));
      await isBusy();
      return { running };
    }

    it("fails what is in flight, and the next request connects anew", async () => {
      await using client = await worker.connect({ sharedMemory });
      await using model = await client.model("add");
      const running = [started(client.infer("slow", slowFeeds(FOREVER)))];
      await isBusy();
      for (let i = 0; i < 20; i++) running.push(started(client.infer("add", feeds)));
      await worker.kill();
      for (const request of running) await assert.rejects(soon(request), died);
      await assert.rejects(soon(client.infer("add", feeds)), unavailable);
      await assert.rejects(soon(client.status()), unavailable);
      assert.equal(await client.health(), false);
      assert.throws(() => model.runSync(feeds), unavailable);
      await worker.start();
      assert.deepEqual([...(await soon(model.run(feeds))).c!.data], [4, 6]);
      assert.deepEqual([...model.runSync(feeds).c!.data], [4, 6]);
      assert.equal(await client.health(), true);
    });

    it("fails what is in flight, however large it is", async () => {
      await using client = await worker.connect({ sharedMemory });
      const x = Tensor.from(new Float32Array(LARGE)), running = [started(client.infer("slow", slowFeeds(FOREVER)))];
      await isBusy();
      for (let i = 0; i < 3; i++) running.push(started(client.infer("large", { x })));
      await worker.kill();
      for (const request of running) await assert.rejects(soon(request), died);
      await worker.start();
      assert.equal((await soon(client.infer("large", { x }))).y!.size, LARGE);
    });

    it("fails a synchronous request", async () => {
      await using client = await worker.connect({ sharedMemory });
      await using model = await client.model("slow");
      const killing = runClient("kill when busy", worker.socket); // this thread waits in C
      assert.throws(() => model.runSync(slowFeeds(FOREVER), { timeoutMs: 15_000 }), died);
      assert.throws(() => model.runSync(slowFeeds(1)), unavailable);
      assert.equal((await killing).code, 0);
    });

    it("is asked again for what may be repeated", async () => {
      await using client = await worker.connect({ sharedMemory, retry: { ...retry, idempotent: true } });
      await using observer = await worker.connect({ retry });
      const stop = new AbortController();
      const running = started(client.infer("slow", slowFeeds(FOREVER), { signal: stop.signal }));
      await isBusy();
      await worker.kill();
      await worker.start();
      await isBusy(); // with the same request
      stop.abort(reason);
      await assert.rejects(soon(running), reason);
      await until(async () => (await observer.status()).state === "ready", "the worker's rest");
      const { running: other } = await inFlight(client, false);
      await worker.kill();
      await worker.start();
      await assert.rejects(soon(other), died);
    });

    it("completes what may be repeated", async () => {
      await using client = await worker.connect({ sharedMemory, retry });
      const running = Array.from(
        { length: 20 },
        () => started(client.infer("slow", slowFeeds(400), { idempotent: true })),
      );
      await isBusy();
      await worker.kill();
      await worker.start();
      for (const { y } of await soon(Promise.all(running))) assert.equal(y!.data[400 % 256], 0);
    });

    it("is never asked twice for what may have run", async () => {
      await using client = await worker.connect({ sharedMemory, retry });
      const { running } = await inFlight(client);
      await worker.kill();
      await worker.start();
      await assert.rejects(soon(running), died);
      const { c } = await soon(client.infer("add", feeds));
      assert.deepEqual([...c!.data], [4, 6]);
      const status = await client.status();
      assert.deepEqual([requestsOf(status, "slow"), requestsOf(status, "add")], [0, 1]);
      await until(async () => (await client.status()).state === "ready", "the worker's rest");
    });

    it("is asked again for what it never took", { skip: !sharedMemory }, async () => {
      await using client = await worker.connect({ retry });
      await client.infer("add", feeds);
      await worker.pause();
      const waiting = Array.from({ length: 5 }, () => started(client.infer("add", feeds)));
      await new Promise((resolve) => setImmediate(resolve)); // by then they lie in the lane
      await worker.kill();
      await worker.start();
      for (const { c } of await soon(Promise.all(waiting))) assert.deepEqual([...c!.data], [4, 6]);
      assert.equal(requestsOf(await client.status(), "add"), 5);
    });

    it("is waited for by new requests", async () => {
      await using client = await worker.connect({ sharedMemory, retry });
      await using model = await client.model("add");
      await worker.kill();
      assert.equal(await client.health(), false); // so that it knows: what is sent before may have run
      const requests = [
        started(client.infer("add", feeds)),
        started(model.run(feeds)),
        started(client.status().then(() => undefined)),
        started(client.model("slow").then(() => undefined)),
      ];
      await worker.start();
      const [first, second] = await soon(Promise.all(requests));
      for (const out of [first, second]) assert.deepEqual([...out!.c!.data], [4, 6]);
    });

    it("is waited for no longer than allowed", async () => {
      await using client = await worker.connect({ sharedMemory, retry: { ...retry, attempts: 1000 } });
      await using hasty = await worker.connect({ sharedMemory, retry: { attempts: 2, minDelayMs: 1 } });
      await worker.kill();
      await assert.rejects(soon(client.infer("add", feeds, { timeoutMs: 100 })), { name: "WorkerError" });
      await assert.rejects(soon(hasty.infer("add", feeds)), unavailable);
      const stop = new AbortController(), waiting = started(client.infer("add", feeds, { signal: stop.signal }));
      stop.abort(reason);
      await assert.rejects(soon(waiting), reason);
      const ended = started(client.infer("add", feeds));
      await client[Symbol.asyncDispose]();
      await assert.rejects(soon(ended), failure("ReferenceError", "DISPOSED"));
    });

    it("that ended in order takes what it had, and then is waited for", async () => {
      await using client = await worker.connect({ sharedMemory, retry });
      const requests = Array.from({ length: 30 }, () => started(client.infer("slow", slowFeeds(5))));
      await isBusy();
      await worker.end();
      await worker.start();
      for (const { y } of await soon(Promise.all(requests))) assert.equal(y!.data[5], 0);
    });
  });
}

describe("connecting", () => {
  it("fails at once where no worker is", async () => {
    await using worker = WorkerProcess.prepare({ add: add() });
    await assert.rejects(soon(worker.connect()), unavailable);
    await assert.rejects(soon(worker.connect({ retry: { attempts: 2, minDelayMs: 1 } })), unavailable);
  });

  it("waits for a worker as the retries allow", async () => {
    await using worker = WorkerProcess.prepare({ add: add() });
    const connecting = started(worker.connect({ retry }));
    await worker.start();
    await using client = await soon(connecting);
    assert.deepEqual([...(await client.infer("add", feeds)).c!.data], [4, 6]);
  });

  it("wants retries that make sense", async () => {
    await using worker = WorkerProcess.prepare({ add: add() });
    for (const wrong of [{ attempts: -1 }, { attempts: 1.5 }, { minDelayMs: -1 }, { minDelayMs: 2, maxDelayMs: 1 }]) {
      await assert.rejects(worker.connect({ retry: wrong }), failure("RangeError", "OUT_OF_RANGE"));
    }
  });
});
