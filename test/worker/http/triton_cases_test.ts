import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { add, identity, scalar, strings, zeroSize } from "../../support/models.ts";
import { eventually, HeldWorker, inline, statuses } from "./held_worker.ts";
import { ask, bytesOf, rawConnection, withBinary } from "./support.ts";

const CONTROLLED = { allowRepositoryControl: true };

let served: HeldWorker;
before(async () => {
  const models = { any: identity("float32", ["n"]), scalar: scalar(), empty: zeroSize(), twice: strings() };
  served = await HeldWorker.serve({ ...models, add: add({ shape: ["n"] }) }, CONTROLLED);
});
after(() => served[Symbol.asyncDispose]());

describe("values over HTTP", () => {
  it("that are NaN or infinite go with bytes, and are refused as JSON", async () => {
    for (const text of ["NaN", "Infinity", "-Infinity", "nan", "1e999"]) {
      const found = await served.infer(
        "any",
        `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[${text}]}]}`,
      );
      assert.equal(found.status, 400, text);
    }
    const bytes = bytesOf(Uint32Array.of(0x7fc00000, 0xff800000, 0x7f800000, 0x80000000));
    const given = { name: "x", shape: [4], datatype: "FP32", parameters: { binary_data_size: 16 } };
    const body = withBinary({ inputs: [given], parameters: { binary_data_output: true } }, bytes);
    const { body: found } = await served.ask("/v2/models/any/infer", body);
    assert.deepEqual([...found.slice(-16)], [...bytes]);
  });

  it("of a scalar have the shape []", async () => {
    for (const data of [3, [3]]) {
      const { json } = await served.infer("scalar", { inputs: [inline("x", data, [])] });
      assert.deepEqual(json.outputs[0], { name: "y", datatype: "FP32", shape: [], data: [6] });
    }
    const headers = { "inference-header-content-length": "0" }, body = bytesOf(Float32Array.of(2.5));
    assert.deepEqual([...(await served.ask("/v2/models/scalar/infer", { headers, body })).body.slice(-4)], [
      0,
      0,
      160,
      64,
    ]);
  });

  it("without elements are data []", async () => {
    for (const data of [[], [[], []]]) {
      const { status, json } = await served.infer("empty", { inputs: [inline("x", data, [0, 3])] });
      assert.deepEqual([status, json.outputs?.[0]], [200, { name: "y", datatype: "FP32", shape: [0, 3], data: [] }]);
    }
    const none = { name: "x", shape: [0, 3], datatype: "FP32", parameters: { binary_data_size: 0 } };
    const { status, headers } = await served.ask(
      "/v2/models/empty/infer",
      withBinary({ inputs: [none], parameters: { binary_data_output: true } }),
    );
    assert.deepEqual([status, headers["content-type"]], [200, "application/octet-stream"]);
  });

  it("that are texts keep every character", async () => {
    const texts = ["", "\0", "\u{1f600}", "ü".repeat(70_000), `"\\\n`, "\ud800".toWellFormed()];
    const { json } = await served.infer("twice", { inputs: [inline("text", texts, [texts.length], "BYTES")] });
    assert.deepEqual(json.outputs[0].data, [...texts, ...texts]);
  });

  it("of 16 MiB come back as they went", async () => {
    const floats = new Float32Array(4 << 20).map((_, i) => i), byteLength = 16 << 20;
    const given = { name: "x", shape: [4 << 20], datatype: "FP32", parameters: { binary_data_size: byteLength } };
    const body = withBinary({ inputs: [given], parameters: { binary_data_output: true } }, bytesOf(floats));
    const { status, body: found } = await served.ask("/v2/models/any/infer", body);
    assert.equal(status, 200);
    assert.ok(Buffer.from(bytesOf(floats).buffer as ArrayBuffer).equals(found.subarray(-byteLength)));
  });
});

describe("the life of models over HTTP", () => {
  const addition = { inputs: [inline("a", [1, 2, 3, 4]), inline("b", [10, 20, 30, 40])] };
  const control = (worker: HeldWorker, model: string, action: "load" | "unload") =>
    worker.ask(`/v2/repository/models/${model}/${action}`, { body: "{}" });
  const added = (worker: HeldWorker, agent?: http.Agent) =>
    worker.ask("/v2/models/add/infer", { body: JSON.stringify(addition), ...(agent && { agent }) });

  it("answers what a model has before it is unloaded, and refuses what comes then", async () => {
    const held = await served.hold();
    const waiting = added(served);
    await served.waiting("add");
    const unloaded = control(served, "add", "unload");
    await eventually(async () => (await served.ask("/v2/models/add/ready")).status === 404);
    assert.equal((await added(served)).status, 404);
    const index = (await served.post("/v2/repository/index")).json.find(({ name }: { name: string }) => name === "add");
    assert.equal(index.state, "UNAVAILABLE");
    held[Symbol.dispose]();
    assert.deepEqual(await statuses([waiting, unloaded]), [200, 200]);
    assert.equal((await control(served, "add", "load")).status, 200);
    assert.equal((await added(served)).status, 200);
  });

  it("ends in order while an inference runs: it is answered, others are refused, connections end", async () => {
    const agent = new http.Agent({ keepAlive: true }), worker = await HeldWorker.serve({ add: add({ shape: ["n"] }) });
    const held = await worker.hold(), running = added(worker, agent);
    await worker.waiting("add");
    const half = await rawConnection(worker.endpoint), idle = await rawConnection(worker.endpoint);
    half.socket.write(`POST /v2/models/add/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"inputs"`);
    idle.socket.write("GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await once(idle.socket, "data");
    const ended = worker[Symbol.asyncDispose]();
    assert.deepEqual(await statuses(["live", "ready"].map((path) => worker.ask(`/v2/health/${path}`))), [200, 400]);
    assert.equal((await added(worker)).status, 503);
    assert.match(await half.closed, /^(HTTP\/1.1 503 |$)/); // nobody waits for the rest of it
    held[Symbol.dispose]();
    assert.deepEqual((await running).json.outputs[0].data, [11, 22, 33, 44]);
    await ended;
    assert.match(await idle.closed, /^HTTP\/1.1 200 /);
    agent.destroy();
    await assert.rejects(ask(worker.endpoint, "/v2"), { code: "ECONNREFUSED" });
  });

  it("ends in order while a model is loaded: who asked for it is told", async () => {
    const worker = await HeldWorker.serve({ add: add({ shape: ["n"] }) }, CONTROLLED);
    await control(worker, "add", "unload");
    const held = await worker.hold(), loading = control(worker, "add", "load"); // which needs the executor
    const state = async () => (await worker.ask("/v2/repository/index", { body: "" })).json[0].state;
    await eventually(async () => await state() === "LOADING");
    const ended = worker[Symbol.asyncDispose]();
    assert.equal((await worker.ask("/v2/health/live")).status, 200);
    held[Symbol.dispose]();
    assert.ok([200, 400].includes((await loading).status));
    await ended;
    await assert.rejects(ask(worker.endpoint, "/v2"), { code: "ECONNREFUSED" });
  });
});
