import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { Feeds, Tensor } from "../../mod.ts";
import type { ModelClient } from "../../src/client/mod.ts";
import { add, slow } from "../support/models.ts";
import { failure, floats, slowFeeds } from "../support/sessions.ts";
import { soon, until } from "./support.ts";
import { WorkerProcess } from "./worker_process.ts";

const FOREVER = 10_000_000, reason = new Error("changed my mind");
const feeds = (i: number): { a: Tensor; b: Tensor } => ({ a: floats([i, 1]), b: floats([i, 2]) });

describe("inferStream", () => {
  let worker: WorkerProcess, client: ModelClient;
  beforeEach(async () => {
    worker = await WorkerProcess.start({ add: add(), slow: slow() }, { executors: 2 });
    client = await worker.connect();
  });
  afterEach(async () => {
    await using _worker = worker;
    await using _client = client;
    const { c } = await soon(client.infer("add", feeds(1)), "a request after the stream");
    assert.deepEqual([...c!.data], [2, 3]);
    await until(async () => (await client.status()).state === "ready", "the worker's rest");
  });

  async function* generated(count: number): AsyncGenerator<Feeds> {
    for (let i = 0; i < count; i++) {
      if (i % 10 === 0) await null;
      yield feeds(i);
    }
  }

  /** The whole stream's first elements. */
  async function all(stream: AsyncIterable<{ readonly [name: string]: Tensor }>): Promise<unknown[]> {
    const found: unknown[] = [];
    await soon((async () => {
      for await (const { c } of stream) found.push(c!.data[0]);
    })());
    return found;
  }

  const doubles = (count: number): number[] => Array.from({ length: count }, (_, i) => 2 * i);

  it("keeps the order, whatever the inputs are", async () => {
    const inputs = Array.from({ length: 300 }, (_, i) => feeds(i));
    assert.deepEqual(await all(client.inferStream("add", inputs)), doubles(300));
    assert.deepEqual(await all(client.inferStream("add", inputs.values())), doubles(300));
    assert.deepEqual(await all(client.inferStream("add", generated(300))), doubles(300));
    assert.deepEqual(await all(client.inferStream("add", [])), []);
    for (const maxInFlight of [1, 2, 1000]) {
      assert.deepEqual(await all(client.inferStream("add", generated(300), { maxInFlight })), doubles(300));
    }
  });

  it("keeps the order where later ones are ready first", async () => {
    const lengths = [200, 1, 100, 1, 1, 50, 1], found: number[] = [];
    const stream = client.inferStream("slow", lengths.map((iterations) => slowFeeds(iterations)), { maxInFlight: 7 });
    for await (const { y } of stream) found.push(y!.as("float32").data.indexOf(0));
    assert.deepEqual(found, lengths);
  });

  it("takes no more inputs than may be in flight", async () => {
    for (const maxInFlight of [1, 3, 8]) {
      let taken = 0, given = 0, most = 0;
      const inputs = (function* () {
        for (; taken < 100;) {
          taken++;
          most = Math.max(most, taken - given);
          yield feeds(taken);
        }
      })();
      for await (const _ of client.inferStream("add", inputs, { maxInFlight })) given++;
      assert.deepEqual([taken, given], [100, 100]);
      assert.ok(most <= maxInFlight + 1, `${most} taken beyond those that were given`); // one result is the consumer's
      if (maxInFlight > 1) assert.ok(most > 1);
    }
  });

  it("takes nothing before somebody wants a result", () => {
    let taken = 0;
    client.inferStream(
      "add",
      (function* () {
        taken++;
        yield feeds(1);
      })(),
    );
    assert.equal(taken, 0);
  });

  it("that is left stops what is in flight, and ends its inputs", async () => {
    let isEnded = false;
    const inputs = (async function* () {
      try {
        yield slowFeeds(1);
        for (;;) yield slowFeeds(FOREVER);
      } finally {
        isEnded = true;
      }
    })();
    await soon((async () => {
      for await (const { y } of client.inferStream("slow", inputs)) {
        assert.equal(y!.size, 256);
        break;
      }
    })());
    assert.ok(isEnded);
  });

  it("gives results up to the one that failed, and throws that", async () => {
    const inputs = Array.from({ length: 40 }, (_, i) => i === 20 ? { a: floats([i, 1]) } : feeds(i)),
      found: unknown[] = [];
    await assert.rejects(
      soon((async () => {
        for await (const { c } of client.inferStream("add", inputs)) found.push(c!.data[0]);
      })()),
      failure("TypeError", "MISSING_FEED"),
    );
    assert.deepEqual(found, doubles(20));
  });

  it("stops what is in flight behind one that failed", async () => {
    const inputs = [{ x: floats([1]) }, slowFeeds(FOREVER), slowFeeds(FOREVER)] as unknown as Feeds[];
    await assert.rejects(all(client.inferStream("slow", inputs)), failure("TypeError", "MISSING_FEED"));
  });

  it("throws what its inputs throw, and stops what is in flight", async () => {
    const problem = new Error("no more inputs");
    const asynchronous = (async function* () {
      yield slowFeeds(FOREVER);
      throw problem;
    })();
    const synchronous = (function* () {
      yield slowFeeds(FOREVER);
      throw problem;
    })();
    for (const inputs of [asynchronous, synchronous]) {
      await assert.rejects(all(client.inferStream("slow", inputs)), problem);
    }
  });

  it("gives up when it is aborted", async () => {
    await assert.rejects(all(client.inferStream("add", generated(5), { signal: AbortSignal.abort(reason) })), reason);
    const stop = new AbortController(), { signal } = stop;
    const running = all(client.inferStream("slow", [slowFeeds(FOREVER), slowFeeds(FOREVER)], { signal }));
    running.catch(() => {});
    await until(async () => (await client.status()).state === "busy", "the run");
    stop.abort(reason);
    await assert.rejects(running, reason);
  });

  it("gives up at once when it is aborted while it waits for an input", async () => {
    const stop = new AbortController(), never = Promise.withResolvers<IteratorResult<Feeds>>();
    const inputs = { [Symbol.asyncIterator]: () => ({ next: () => never.promise }) };
    const running = all(client.inferStream("add", inputs, { signal: stop.signal }));
    running.catch(() => {});
    await client.status();
    stop.abort(reason);
    await assert.rejects(running, reason);
  });

  it("gives results that are there while it waits for an input", async () => {
    const never = Promise.withResolvers<IteratorResult<Feeds>>();
    const answers = [Promise.resolve({ done: false, value: feeds(4) }), never.promise];
    const inputs = { [Symbol.asyncIterator]: () => ({ next: () => answers.shift()! }) };
    const stream = client.inferStream("add", inputs as AsyncIterable<Feeds>)[Symbol.asyncIterator]();
    const { value } = await soon(stream.next());
    assert.equal(value.c!.data[0], 8);
    await soon(stream.return!());
  });

  it("passes its options on", async () => {
    const timeout = failure("WorkerError", "WORKER_TIMEOUT");
    await assert.rejects(all(client.inferStream("slow", [slowFeeds(FOREVER)], { timeoutMs: 50 })), timeout);
    for await (const out of client.inferStream("add", generated(3), { outputStorage: "native" })) {
      using result = out;
      assert.equal(result.c!.storage, "native");
    }
    for (const maxInFlight of [0, -1, 1.5, NaN]) {
      assert.throws(() => client.inferStream("add", [], { maxInFlight }), failure("RangeError", "OUT_OF_RANGE"));
    }
  });

  it("of an unknown model is an error", async () => {
    await assert.rejects(all(client.inferStream("nothing", generated(3))), failure("WorkerError", "UNKNOWN_MODEL"));
  });
});
