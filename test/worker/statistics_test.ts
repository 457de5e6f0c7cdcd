import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { monotonicMs } from "../../ffi/monotonic_clock.ts";
import { OwnedMemory } from "../../ffi/owned_memory.ts";
import { startOrt } from "../../src/ort/environment.ts";
import type { CallOptions } from "../../src/protocol/call_options.ts";
import { RemoteModel } from "../../src/protocol/remote_model.ts";
import type { Feeds } from "../../src/session/run_options.ts";
import { BATCH_SIZES, batchSizeIndex, batchSizeOf } from "../../src/worker/batch_sizes.ts";
import { MOST_EXECUTORS, MOST_MODELS } from "../../src/worker/board/layout.ts";
import { openLocalLane } from "../../src/worker/local_lane.ts";
import { completeConfig, type ModelConfig } from "../../src/worker/model_config.ts";
import { SocketClaim } from "../../src/worker/socket_claim.ts";
import { type ModelStatistics, Statistics, STATISTICS_BYTE_LENGTH } from "../../src/worker/statistics.ts";
import { makeParts } from "../../src/worker/worker_parts.ts";
import { nothingLeft } from "../support/left.ts";
import { failingRun, identity, slow } from "../support/models.ts";
import { floats, slowFeeds } from "../support/sessions.ts";
import { Place } from "./support.ts";

afterEach(nothingLeft);

describe("sizes of batches", () => {
  it("are counted each by itself up to 64, and then by powers of two", () => {
    for (let rows = 1; rows <= 64; rows++) assert.equal(batchSizeOf(batchSizeIndex(rows)), rows);
    for (const [from, to] of [[65, 128], [129, 256], [513, 1024], [32769, 65536]] as const) {
      assert.deepEqual([from, to].map((rows) => batchSizeOf(batchSizeIndex(rows))), [to, to]);
    }
  });

  it("have a last one for all that are larger", () => {
    for (const rows of [65537, 2 ** 31, 2 ** 32 + 1, 2 ** 53 - 1]) assert.equal(batchSizeIndex(rows), BATCH_SIZES - 1);
    assert.equal(batchSizeIndex(0), 0);
  });
});

describe("statistics", () => {
  function counting(): { all: readonly Statistics[] } & Disposable {
    const memory = new OwnedMemory(STATISTICS_BYTE_LENGTH);
    return {
      all: [new Statistics(memory.address), new Statistics(memory.address)],
      [Symbol.dispose]: () => memory[Symbol.dispose](),
    };
  }

  it("are the sum of what each thread counted, and apart for each model", () => {
    using made = counting();
    const [one, other] = made.all as [Statistics, Statistics], last = MOST_MODELS - 1;
    one.noteRun(0, last, 1, 3, 2, 10);
    other.noteRun(MOST_EXECUTORS - 1, last, 4, 4, 5, 9);
    one.noteRequest(0, last, 1, 3);
    other.noteFailure(1, last, 7, "cancelled");
    other.noteFailure(1, last, 7, "run");
    other.noteFailure(1, last, 7, "other");
    other.noteRefused(MOST_EXECUTORS, last, 20);
    const { latencyMs: _, lastRunAt: __, latencyOctaves: ___, ...found } = one.of(last);
    assert.deepEqual(found, {
      requests: 4,
      failures: 3,
      cancelled: 1,
      runFailures: 1,
      refused: 1,
      runs: 2,
      rows: 7,
      batched: 4,
      queueMs: 1,
      totalMs: 3,
      failedMs: 21,
      refusedMs: 20,
      runMs: 7,
      lastAt: 10,
      largestBatch: 4,
      batches: [{ size: 3, runs: 1, runMs: 2 }, { size: 4, runs: 1, runMs: 5 }],
    });
    assert.equal(one.of(last - 1).requests, 0);
    assert.deepEqual(one.of(last - 1).batches, []);
  });

  it("tell when the last run was over by the time of day", () => {
    using made = counting();
    const [one] = made.all as [Statistics];
    assert.equal(one.of(0).lastRunAt, 0);
    const before = Date.now();
    one.noteRun(0, 0, 1, 1, 1, monotonicMs());
    const { lastRunAt } = one.of(0);
    assert.ok(Math.abs(lastRunAt - before) < 1000, `${lastRunAt} and ${before}`);
    assert.equal(one.of(0).lastRunAt, lastRunAt);
  });

  it("count latencies by powers of two of a microsecond", () => {
    using made = counting();
    const [one] = made.all as [Statistics];
    for (const ms of [0, 0.0005, 0.0015, 1, 2 ** 40]) one.noteRequest(0, 0, 0, ms);
    const { latencyOctaves } = one.of(0);
    assert.equal(latencyOctaves.length, 32);
    assert.deepEqual(latencyOctaves.flatMap((count, i) => count > 0 ? [[i, count]] : []), [[0, 3], [9, 1], [31, 1]]);
  });
});

/** A worker's parts, and a lane to it. */
async function counted(place: Place, config: ModelConfig): Promise<
  {
    run(feeds: Feeds, options?: CallOptions): Promise<void>;
    statistics(): ModelStatistics;
    unload(): Promise<void>;
    isQueued(): boolean;
    isRunning(): boolean;
  } & AsyncDisposable
> {
  await using resources = new AsyncDisposableStack();
  const claim = resources.use(SocketClaim.take(place.socket)), configs = new Map([["m", completeConfig("m", config)]]);
  await startOrt();
  const { models, lanes, page, statistics, board } = await makeParts(configs, claim, 1, resources);
  const lane = resources.use(await openLocalLane(lanes, page.address));
  await models.loadAll();
  const [entry] = models.entries, remote = new RemoteModel(await models.describe(entry!)), all = resources.move();
  return {
    async run(feeds, options) {
      (await lane.caller.run(remote, feeds, options ?? {}))[Symbol.dispose]();
    },
    statistics: () => statistics.of(0),
    unload: () => models.withdraw(entry!),
    isQueued: () => board.queues.queued(0) > 0,
    isRunning: () => board.runs.busy(0, 1) > 0,
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  };
}

async function until(isSo: () => boolean): Promise<void> {
  for (const end = performance.now() + 20_000; !isSo(); await sleep(2)) {
    if (performance.now() > end) throw new Error("it never came to be so");
  }
}

describe("what a worker counts", () => {
  it("are requests with their time, once, though their results found no room at first", async () => {
    using place = new Place();
    const path = place.file("copy.onnx", identity("float32", ["N"]));
    await using worker = await counted(place, { path });
    for (let i = 0; i < 3; i++) await worker.run({ x: floats(new Array(20_000).fill(i)) });
    const { requests, failures, runs, rows, batches, queueMs, totalMs, runMs } = worker.statistics();
    assert.deepEqual([requests, failures, runs, rows], [3, 0, 3, 3]);
    assert.deepEqual(batches, [{ size: 1, runs: 3, runMs }]);
    assert.ok(queueMs >= 0 && totalMs > queueMs && runMs > 0);
    assert.ok(Math.abs(totalMs - queueMs - runMs) < 1e-6); // all ran alone
  });

  it("are rows, of a model whose requests are joined", async () => {
    using place = new Place();
    const path = place.file("copy.onnx", identity("float32", ["N", 2]));
    await using worker = await counted(place, { path, maxBatchSize: 8 });
    for (const rows of [1, 3, 3, 100]) await worker.run({ x: floats(new Array(rows * 2).fill(1), [rows, 2]) });
    const { requests, runs, rows, batches } = worker.statistics();
    assert.deepEqual([requests, runs, rows], [4, 4, 107]);
    assert.deepEqual(batches.map(({ size, runs }) => [size, runs]), [[1, 1], [3, 2], [128, 1]]);
  });

  it("are runs that failed, and requests that could not be run", async () => {
    using place = new Place();
    const path = place.file("failing.onnx", failingRun());
    await using worker = await counted(place, { path });
    await assert.rejects(worker.run({ x: floats([1, 2]) }), { name: "OrtError" });
    await worker.run({ x: floats([1, 2, 3]) });
    const { requests, failures, runFailures, cancelled, runs, failedMs } = worker.statistics();
    assert.deepEqual([requests, failures, runFailures, cancelled, runs], [2, 1, 1, 0, 1]);
    assert.ok(failedMs > 0);
  });

  it("are requests that were given up, and those that the queue refused", async () => {
    using place = new Place();
    const path = place.file("slow.onnx", slow());
    await using worker = await counted(place, { path, maxQueueSize: 1 });
    const stop = new AbortController(), { signal } = stop;
    const running = worker.run(slowFeeds(10_000_000), { signal });
    await until(() => worker.isRunning());
    const waiting = worker.run(slowFeeds(1));
    await until(() => worker.isQueued());
    await assert.rejects(worker.run(slowFeeds(1)), { code: "WORKER_BUSY" });
    stop.abort();
    await assert.rejects(running);
    await waiting;
    const { requests, failures, cancelled, runFailures, refused, refusedMs } = worker.statistics();
    assert.deepEqual([requests, failures, cancelled, runFailures, refused, refusedMs], [2, 1, 1, 0, 1, 0]);
  });

  it("are the time that requests waited until the queue refused them", async () => {
    using place = new Place();
    const path = place.file("slow.onnx", slow());
    await using worker = await counted(place, { path, queueTimeoutMs: 30 });
    const stop = new AbortController(), running = worker.run(slowFeeds(10_000_000), { signal: stop.signal });
    await until(() => worker.isRunning());
    await assert.rejects(worker.run(slowFeeds(1)), { code: "WORKER_TIMEOUT" });
    stop.abort();
    await assert.rejects(running);
    const { refused, refusedMs } = worker.statistics();
    assert.equal(refused, 1);
    assert.ok(refusedMs >= 30);
  });

  it("are requests for a model that cannot be loaded", async () => {
    using place = new Place();
    const path = place.file("copy.onnx", identity());
    await using worker = await counted(place, { path });
    await worker.unload();
    await assert.rejects(worker.run({ x: floats([1, 2]) }), { code: "UNKNOWN_MODEL" });
    const { requests, failures, cancelled, runFailures, refused } = worker.statistics();
    assert.deepEqual([requests, failures, cancelled, runFailures, refused], [1, 1, 0, 0, 0]);
  });
});
