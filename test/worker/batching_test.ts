import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import type { ModelClient } from "../../src/client/mod.ts";
import { InferenceSession } from "../../src/session/inference_session.ts";
import type { Feeds } from "../../src/session/run_options.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { failingRun, identity, slow } from "../support/models.ts";
import { failure, floats, slowFeeds } from "../support/sessions.ts";
import { modelOf, Place, serve, SILERO, until } from "./support.ts";

afterEach(nothingLeft);

function speech(seed: number, rate = 16000, samples = 512): { input: Tensor; state: Tensor; sr: Tensor } {
  const wave = Float32Array.from({ length: samples }, (_, i) => Math.sin(i * (0.01 + seed / 300)) * 0.5);
  const state = Float32Array.from({ length: 256 }, (_, i) => Math.cos(i + seed) / 4);
  return {
    input: Tensor.from(wave, [1, samples]),
    state: Tensor.from(state, [2, 1, 128]),
    sr: Tensor.from([rate], [], "int64"),
  };
}

/** Has a request run that ends when it is aborted, on a worker's only executor. */
function occupy(client: ModelClient, model: string): { done: Promise<void>; release(): void } {
  const stop = new AbortController();
  const x = floats(new Array(256).fill(1)), { iterations } = slowFeeds(10_000_000);
  const done = client.infer(model, { x, iterations }, { signal: stop.signal }).then(() => {}, () => {});
  return { done, release: () => stop.abort() };
}

async function compareWithAlone(client: ModelClient, all: readonly Feeds[]): Promise<void> {
  await using alone = await InferenceSession.create(SILERO);
  const results = await Promise.all(all.map((feeds) => client.infer("vad", feeds)));
  results.forEach((result, i) => {
    const wanted = alone.runSync(all[i]!);
    assert.deepEqual(result.output!.data, wanted.output!.data);
    assert.deepEqual(result.stateN!.data, wanted.stateN!.data);
  });
}

describe("batching", () => {
  it("joins requests that wait, and gives each what it gives alone, to the bit", async () => {
    using place = new Place();
    await using served = await serve(place, { vad: { path: SILERO, maxBatchSize: 8 } }, { executors: 1 });
    const { worker, client } = served;
    for (let round = 0; round < 20; round++) {
      await compareWithAlone(client, Array.from({ length: 40 }, (_, i) => speech(i + round)));
      if (modelOf(worker, "vad").batchedRequests > 100) break; // what is joined is proven first, in the meantime
    }
    const { largestBatch, batchedRequests, runs, requests, batching } = modelOf(worker, "vad");
    assert.match(batching, /^on: input by axis 0, state by axis 1, sr the same/);
    assert.ok(batchedRequests > 100 && runs < requests && largestBatch > 1 && largestBatch <= 8);
  });

  it("never joins requests of different shapes, or of different values of what a batch has once", async () => {
    using place = new Place();
    await using served = await serve(place, { vad: { path: SILERO, maxBatchSize: 16 } }, { executors: 1 });
    const kinds = [speech(1), speech(2, 8000, 256), speech(3), speech(4, 8000, 256), speech(5)];
    for (let round = 0; round < 10; round++) await compareWithAlone(served.client, [...kinds, ...kinds, ...kinds]);
  });

  it("waits for others only while the model runs", async () => {
    using place = new Place();
    const models = { vad: { path: SILERO, maxBatchSize: 4, maxQueueDelayMs: 60_000 } };
    await using served = await serve(place, models, { executors: 2 });
    for (let i = 0; i < 20; i++) await served.client.infer("vad", speech(i), { timeoutMs: 20_000 });
  });

  it("is off for a model without a batch, and says so", async () => {
    using place = new Place();
    const path = place.file("fixed.onnx", identity("float32", [2]));
    await using served = await serve(place, { fixed: { path, maxBatchSize: 8 } }, { executors: 1 });
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) => served.client.infer("fixed", { x: floats([i, i + 1]) })),
    );
    results.forEach((result, i) => assert.deepEqual([...result.y!.as("float32").data], [i, i + 1]));
    const { batching, batchedRequests } = modelOf(served.worker, "fixed");
    assert.match(batching, /^off: no input has an open dimension/);
    assert.equal(batchedRequests, 0);
  });

  it("does not let one bad request fail those that it was joined with", async () => {
    using place = new Place();
    const path = place.file("failing.onnx", failingRun());
    await using served = await serve(place, { failing: { path, maxBatchSize: 8 } });
    const x = floats([1, 2]);
    await assert.rejects(served.client.infer("failing", { x }), { name: "OrtError" });
    assert.equal(modelOf(served.worker, "failing").failures, 1);
  });
});

describe("the queue", () => {
  it("refuses what is beyond its size with WORKER_BUSY, and goes on", async () => {
    using place = new Place();
    const path = place.file("slow.onnx", slow());
    await using served = await serve(place, { slow: { path, maxQueueSize: 3 } }, { executors: 1 });
    const { worker, client } = served, running = occupy(client, "slow");
    await until(worker, ({ state }) => state === "busy");
    const feeds = { x: floats(new Array(256).fill(1)), iterations: slowFeeds(1).iterations };
    const results = Array.from({ length: 10 }, () => client.infer("slow", feeds));
    const settled = Promise.allSettled(results);
    await until(worker, ({ models }) => models[0]!.refused === 7);
    running.release();
    await running.done;
    const failed = (await settled).filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
    assert.deepEqual(failed.map(({ reason }) => reason.code), new Array(7).fill("WORKER_BUSY"));
  });

  it("lets a request wait so long and no longer", async () => {
    using place = new Place();
    const path = place.file("slow.onnx", slow());
    await using served = await serve(place, { slow: { path, queueTimeoutMs: 50 } }, { executors: 1 });
    const { worker, client } = served, running = occupy(client, "slow");
    await until(worker, ({ state }) => state === "busy");
    const feeds = { x: floats(new Array(256).fill(1)), iterations: slowFeeds(1).iterations };
    const waiting = assert.rejects(client.infer("slow", feeds), failure("WorkerError", "WORKER_TIMEOUT"));
    await until(worker, ({ models }) => models[0]!.queued === 1);
    const after = performance.now() + 60;
    await until(worker, () => performance.now() > after);
    running.release();
    await running.done;
    await waiting;
  });

  it("takes what is more urgent first, and keeps the order otherwise", async () => {
    using place = new Place();
    const path = place.file("slow.onnx", slow());
    await using served = await serve(place, { slow: { path } }, { executors: 1 });
    const { worker, client } = served, running = occupy(client, "slow"), order: string[] = [];
    await until(worker, ({ state }) => state === "busy");
    const feeds = { x: floats(new Array(256).fill(1)), iterations: slowFeeds(40).iterations };
    const names = ["low", "normal", "high"] as const, requests: Promise<unknown>[] = [];
    for (let i = 0; i < 3; i++) {
      for (const priority of names) {
        requests.push(client.infer("slow", feeds, { priority }).then(() => order.push(`${priority} ${i}`)));
        await until(worker, ({ models }) => models[0]!.queued === requests.length);
      }
    }
    running.release();
    await Promise.all(requests);
    const wanted = ["high", "normal", "low"].flatMap((name) => [0, 1, 2].map((i) => `${name} ${i}`));
    assert.deepEqual(order, wanted);
  });
});
