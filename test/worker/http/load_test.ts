import assert from "node:assert/strict";
import http from "node:http";
import { describe, it } from "node:test";
import { ModelWorker } from "../../../src/worker/mod.ts";
import { runChild } from "../../support/child.ts";
import { add, slow } from "../../support/models.ts";
import { modelOf, Place, SILERO, until } from "../support.ts";
import type { Answered, Load } from "./children/load_generator.ts";
import { ENDLESS, HELD_SIZE } from "./held_worker.ts";
import { ask, bytesOf, type Question, withBinary } from "./support.ts";

const GENERATOR = new URL("./children/load_generator.ts", import.meta.url);

/** Has a load generator send a question many times; each answer must be that of one who asks alone. */
async function assertAllAnswered(
  worker: ModelWorker,
  model: string,
  { headers = {}, body }: Question,
  { connections, amount }: { readonly connections: number; readonly amount: number },
): Promise<void> {
  const endpoint = worker.endpoints.http!, path = `/v2/models/${model}/infer`;
  const alone = await ask(endpoint, path, { headers, body: body! });
  assert.equal(alone.status, 200, alone.text);
  const load: Load = {
    url: `${endpoint}${path}`,
    connections,
    amount,
    headers: headers as Record<string, string>,
    body: Buffer.from(body!).toString("base64"),
    wanted: Buffer.from(alone.body).toString("base64"),
  };
  const { code, stdout, stderr } = await runChild(GENERATOR, [JSON.stringify(load)]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), { right: amount, wrong: 0, failed: 0 } satisfies Answered);
}

const sine = (length: number, step: number): number[] => Array.from({ length }, (_, i) => Math.sin(i * step) / 2);

/** A question to a real model, in JSON. */
const speech: Question = {
  body: JSON.stringify({
    inputs: [
      { name: "input", datatype: "FP32", shape: [1, 512], data: sine(512, 0.02) },
      { name: "state", datatype: "FP32", shape: [2, 1, 128], data: sine(256, 0.3) },
      { name: "sr", datatype: "INT64", shape: [], data: [16000] },
    ],
  }),
};

describe("a load generator of npm", () => {
  it("gets from requests that run as one what each gets alone", async () => {
    using place = new Place();
    await using worker = await ModelWorker.serve({
      models: { vad: { path: SILERO, maxBatchSize: 8 } },
      socket: place.socket,
      executors: 1,
      http: "127.0.0.1:0",
    });
    for (let round = 0; round < 10; round++) { // what is joined is proven first, in the meantime
      await assertAllAnswered(worker, "vad", speech, { connections: 16, amount: 600 });
      if (modelOf(worker, "vad").batchedRequests > 0) break;
    }
    const { batchedRequests, largestBatch, runs, requests, failures } = modelOf(worker, "vad");
    assert.ok(batchedRequests > 0 && largestBatch > 1 && runs < requests);
    assert.equal(failures, 0);
  });

  it("gets the bytes of all tensors on 32 connections", async () => {
    using place = new Place();
    const path = place.file("add.onnx", add({ shape: [4] }));
    await using worker = await ModelWorker.serve({ models: { add: path }, socket: place.socket, http: "127.0.0.1:0" });
    const [a, b] = [Float32Array.of(1, 2, 3, 4), Float32Array.of(10, 20, 30, 40)];
    const input = (name: string) => ({
      name,
      datatype: "FP32",
      shape: [4],
      parameters: { binary_data_size: 16 },
    });
    const json = { inputs: [input("a"), input("b")], parameters: { binary_data_output: true } };
    await assertAllAnswered(worker, "add", withBinary(json, bytesOf(a), bytesOf(b)), { connections: 32, amount: 4000 });
    assert.equal(modelOf(worker, "add").failures, 0);
  });
});

describe("requests over HTTP", () => {
  it("run at the same time, each on an executor", async () => {
    using place = new Place();
    const path = place.file("slow.onnx", slow(HELD_SIZE));
    const options = { models: { slow: path }, socket: place.socket, executors: 2, http: "127.0.0.1:0" };
    await using worker = await ModelWorker.serve(options);
    const { hostname, port } = new URL(worker.endpoints.http!), target = "/v2/models/slow/infer";
    const held = http.request({ host: hostname, port, path: target, method: "POST", agent: false });
    held.on("error", () => {}); // it ends when its caller goes
    held.end(ENDLESS);
    await until(worker, ({ state }) => state === "busy");
    const body = ENDLESS.replace(String(2 ** 50), "1");
    assert.equal((await ask(worker.endpoints.http!, target, { body })).status, 200);
    assert.equal(worker.status().state, "busy"); // the first one still runs
    held.destroy();
  });
});
