import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { ModelClient } from "../../../src/client/mod.ts";
import { add, identity } from "../../support/models.ts";
import { failure, floats } from "../../support/sessions.ts";
import { rawConnection, serveHttp } from "./support.ts";

const ALLOWED = { allowRepositoryControl: true };
const control = (model: string, action: "load" | "unload", parameters = {}) =>
  [`/v2/repository/models/${model}/${action}`, { body: JSON.stringify({ parameters }) }] as const;
const addition = JSON.stringify({
  inputs: ["a", "b"].map((name) => ({ name, shape: [2], datatype: "FP32", data: [1, 2] })),
});

describe("the repository", () => {
  it("lists the models and what they are", async () => {
    await using served = await serveHttp({ one: add(), two: add() }, ALLOWED);
    const index = (body: string) => served.ask("/v2/repository/index", { body });
    const ready = (name: string) => ({ name, version: "1", state: "READY", reason: "" });
    assert.deepEqual((await index("")).json, [ready("one"), ready("two")]);
    assert.equal((await served.ask(...control("two", "unload"))).status, 200);
    const gone = { name: "two", version: "1", state: "UNAVAILABLE", reason: "unloaded" };
    assert.deepEqual((await index("{}")).json, [ready("one"), gone]);
    assert.deepEqual((await index(`{"ready":true}`)).json, [ready("one")]);
    assert.equal((await index(`{"ready":1}`)).status, 400);
  });

  it("unloads a model for all, and loads it again", async () => {
    await using served = await serveHttp({ add: add(), other: add() }, ALLOWED);
    await using client = await ModelClient.connect(served.place.socket);
    const feeds = { a: floats([1, 2]), b: floats([3, 4]) };
    await client.infer("add", feeds);
    const asked = { body: addition };
    assert.equal((await served.ask("/v2/models/add/infer", asked)).status, 200);
    assert.equal((await served.ask(...control("add", "unload"))).status, 200);
    assert.equal((await served.ask("/v2/models/add/infer", asked)).status, 404);
    assert.equal((await served.ask("/v2/models/add/ready")).status, 404);
    await assert.rejects(client.infer("add", feeds), failure("WorkerError", "UNKNOWN_MODEL"));
    assert.equal((await served.ask(...control("add", "unload"))).status, 200); // twice is harmless
    assert.equal((await served.ask(...control("add", "load"))).status, 200);
    assert.equal((await served.ask("/v2/models/add/infer", asked)).status, 200);
    assert.deepEqual([...(await client.infer("add", feeds)).c!.data], [4, 6]);
    assert.equal((await served.ask("/v2/models/other/infer", asked)).status, 200);
  });

  it("keeps a model that serves when another file cannot be loaded", async () => {
    await using served = await serveHttp({ add: add() }, ALLOWED);
    writeFileSync(`${served.place.folder}/add.onnx`, "broken");
    const { status, json } = await served.ask(...control("add", "load"));
    assert.deepEqual([status, /failed to load 'add'/.test(json.error)], [400, true]);
    assert.equal((await served.ask("/v2/models/add/infer", { body: addition })).status, 200);
    writeFileSync(`${served.place.folder}/add.onnx`, identity());
    assert.equal((await served.ask(...control("add", "load"))).status, 200);
    assert.equal((await served.ask("/v2/models/add")).json.inputs[0].name, "x");
  });

  it("survives that many load and unload at once", async () => {
    await using served = await serveHttp({ add: add() }, ALLOWED);
    const found = await Promise.all(Array.from({ length: 60 }, async (_, i) => {
      const [path, question] = i % 3 === 2
        ? ["/v2/models/add/infer", { body: addition }] as const
        : control("add", i % 3 === 0 ? "load" : "unload");
      return (await served.ask(path, question)).status;
    }));
    assert.deepEqual(found.filter((status, i) => status !== 200 && (i % 3 !== 2 || status !== 404)), []);
    assert.equal((await served.ask(...control("add", "load"))).status, 200);
    assert.equal((await served.ask("/v2/models/add/infer", { body: addition })).status, 200);
  });

  it("does not load an unloaded model for a request that came before, and is whole of late", async () => {
    await using served = await serveHttp({ add: add(), other: add() }, ALLOWED);
    const { socket, closed } = await rawConnection(served.endpoint);
    const head = `POST /v2/models/add/infer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n`;
    socket.write(`${head}Content-Length: ${addition.length}\r\n\r\n${addition.slice(0, 10)}`);
    assert.equal((await served.ask("/v2/health/live")).status, 200); // so that it has come
    assert.equal((await served.ask(...control("add", "unload"))).status, 200);
    socket.write(addition.slice(10));
    assert.match(await closed, /^HTTP\/1\.1 404 /);
    assert.equal(served.worker.status().models[0]!.state, "absent");
  });

  it("is ready although a model that was unloaded cannot be loaded", async () => {
    await using served = await serveHttp({ add: add(), other: add() }, ALLOWED);
    await served.ask(...control("add", "unload"));
    writeFileSync(`${served.place.folder}/add.onnx`, "broken");
    assert.equal((await served.ask(...control("add", "load"))).status, 400);
    assert.equal((await served.ask("/v2/health/ready")).status, 200);
    assert.equal((await served.ask("/v2/models/other/infer", { body: addition })).status, 200);
    assert.equal((await served.ask("/v2/models/add/infer", { body: addition })).status, 404);
  });

  it("serves a model in another way where a caller says so", async () => {
    await using served = await serveHttp({ rows: identity("float32", ["N", 2]) }, ALLOWED);
    const config = (text: unknown) => control("rows", "load", { config: text });
    const size = async () => (await served.ask("/v2/models/rows/config")).json.max_batch_size;
    assert.equal(await size(), 0);
    assert.equal((await served.ask(...config(`{"max_batch_size":"16"}`))).status, 200);
    assert.equal(await size(), 16);
    const batching = { dynamic_batching: { max_queue_delay_microseconds: 500 } };
    assert.equal((await served.ask(...config(JSON.stringify({ max_batch_size: 4, ...batching })))).status, 200);
    const { json } = await served.ask("/v2/models/rows/config");
    assert.deepEqual([json.max_batch_size, json.dynamic_batching], [4, batching.dynamic_batching]);
    for (
      const [wrong, status] of [["{", 400], [1, 400], [`{"max_batch_size":-1}`, 400], [`{"max_batch_size":1e9}`, 400], [
        `{"a":1}`,
        501,
      ]] as const
    ) {
      const found = await served.ask(...config(wrong));
      assert.deepEqual([found.status, /failed to load 'rows'/.test(found.json.error)], [status, true], found.text);
    }
    assert.equal(await size(), 4);
  });

  it("knows no other models, nor files and configurations that a request brings", async () => {
    await using served = await serveHttp({ add: add() }, ALLOWED);
    assert.equal((await served.ask(...control("nothing", "load"))).status, 404);
    for (const name of ["..%2Fadd", "%2Fetc%2Fpasswd", "a%00b", "..", ".%2e"]) {
      const { status } = await served.ask(...control(name, "load"));
      assert.ok(status === 400 || status === 404, `${name}: ${status}`);
    }
    assert.equal((await served.ask(...control("add", "load", { "file:1/model.onnx": "AAAA" }))).status, 501);
  });
});
