import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { add, dynamicOutput, identity, sequenceOutput, slow, strings } from "../../support/models.ts";
import { ask, bytesOf, serveHttp, withBinary } from "./support.ts";

let served: Awaited<ReturnType<typeof serveHttp>>;

before(async () => {
  served = await serveHttp({
    add: add(),
    int64: identity("int64", ["n"]),
    half: identity("float16", ["n"]),
    any: identity("float32", ["n"]),
    text: strings(),
    dynamic: dynamicOutput(),
    sequence: sequenceOutput(),
  });
});
after(() => served[Symbol.asyncDispose]());

const input = (name: string, data: unknown, datatype = "FP32", shape = [2]) => ({ name, shape, datatype, data });
const infer = (model: string, body: unknown) => served.ask(`/v2/models/${model}/infer`, { body: JSON.stringify(body) });

describe("the face of a worker over HTTP", () => {
  it("says what it is", async () => {
    const { status, headers, json } = await served.ask("/v2");
    assert.deepEqual([status, headers["content-type"], json.name], [200, "application/json", "coload"]);
    assert.match(json.version, /^\d+\.\d+\.\d+/);
    assert.ok(json.extensions.includes("binary_tensor_data") && !json.extensions.includes("system_shared_memory"));
  });

  it("is alive and ready, with nothing more to say", async () => {
    for (const path of ["live", "ready"]) {
      const { status, body } = await served.ask(`/v2/health/${path}`);
      assert.deepEqual([status, body.length], [200, 0]);
    }
    for (const path of ["/v2/models/add/ready", "/v2/models/add/versions/1/ready"]) {
      assert.equal((await served.ask(path)).status, 200);
    }
  });

  it("says what a model wants and gives", async () => {
    assert.deepEqual((await served.ask("/v2/models/dynamic/versions/1")).json, {
      name: "dynamic",
      versions: ["1"],
      platform: "onnxruntime_onnx",
      inputs: (await served.ask("/v2/models/dynamic")).json.inputs,
      outputs: (await served.ask("/v2/models/dynamic")).json.outputs,
    });
    assert.deepEqual((await served.ask("/v2/models/any")).json.inputs, [{ name: "x", datatype: "FP32", shape: [-1] }]);
  });

  it("answers HEAD as GET, without a body", async () => {
    const { status, headers, body } = await served.ask("/v2", { method: "HEAD" });
    assert.deepEqual([status, body.length, Number(headers["content-length"]) > 10], [200, 0, true]);
  });

  it("tells Coload's clients its status", async () => {
    const { json } = await served.ask("/v2/coload/status");
    assert.deepEqual([json.state, json.http, json.models.length], ["ready", served.endpoint, 7]);
  });
});

describe("an inference", () => {
  it("in JSON is answered in JSON", async () => {
    const { status, json } = await infer("add", { id: "7", inputs: [input("a", [1, 2]), input("b", [[3, 4.5]])] });
    assert.deepEqual([status, json], [200, {
      model_name: "add",
      model_version: "1",
      id: "7",
      outputs: [{ name: "c", datatype: "FP32", shape: [2], data: [4, 6.5] }],
    }]);
  });

  it("with bytes is answered with bytes where they are wanted", async () => {
    const given = (name: string) => ({ name, shape: [2], datatype: "FP32", parameters: { binary_data_size: 8 } });
    const body = withBinary(
      { inputs: [given("a"), given("b")], outputs: [{ name: "c", parameters: { binary_data: true } }] },
      bytesOf(Float32Array.of(1, 2)),
      bytesOf(Float32Array.of(10, NaN)),
    );
    const { status, headers, body: found } = await served.ask("/v2/models/add/versions/1/infer", body);
    const at = Number(headers["inference-header-content-length"]);
    assert.deepEqual([status, headers["content-type"]], [200, "application/octet-stream"]);
    assert.deepEqual(JSON.parse(new TextDecoder().decode(found.subarray(0, at))).outputs, [
      { name: "c", datatype: "FP32", shape: [2], parameters: { binary_data_size: 8 } },
    ]);
    assert.deepEqual([...new Float32Array(found.slice(at).buffer)], [11, NaN]);
  });

  it("keeps all bits of int64", async () => {
    const body =
      `{"inputs":[{"name":"x","shape":[2],"datatype":"INT64","data":[9007199254740993,-9223372036854775808]}]}`;
    const { text } = await served.ask("/v2/models/int64/infer", { body });
    assert.match(text, /"data":\[9007199254740993,-9223372036854775808\]/);
  });

  it("of texts", async () => {
    const { json } = await infer("text", { inputs: [input("text", ["a", "ü"], "BYTES", [2])] });
    assert.deepEqual(json.outputs[0].data, ["a", "ü", "a", "ü"]);
  });

  it("of half floats goes with bytes alone", async () => {
    const parameters = { binary_data_size: 4 };
    const asked = { inputs: [{ name: "x", shape: [2], datatype: "FP16", parameters }] },
      bytes = Uint8Array.of(0, 60, 0, 64);
    const { status, json } = await served.ask("/v2/models/half/infer", withBinary(asked, bytes));
    assert.deepEqual([status, /binary/.test(json.error)], [400, true]);
    const wanted = { ...asked, parameters: { binary_data_output: true } };
    const { body } = await served.ask("/v2/models/half/infer", withBinary(wanted, bytes));
    assert.deepEqual([...body.slice(-4)], [...bytes]);
  });

  it("whose body is the one input", async () => {
    const headers = { "inference-header-content-length": "0" }, body = bytesOf(Float32Array.of(1, 2, 3));
    const found = await served.ask("/v2/models/any/infer", { headers, body });
    assert.deepEqual([...new Float32Array(found.body.slice(-12).buffer)], [1, 2, 3]);
    assert.equal((await served.ask("/v2/models/any/infer", { headers, body: body.slice(1) })).status, 400);
    assert.equal((await served.ask("/v2/models/add/infer", { headers, body })).status, 400);
  });

  it("of zero elements", async () => {
    const { json } = await infer("any", { inputs: [input("x", [], "FP32", [0])] });
    assert.deepEqual(json.outputs[0], { name: "y", datatype: "FP32", shape: [0], data: [] });
  });

  it("that runs longer than it may wait for its turn is answered", async () => {
    await using slower = await serveHttp({ slow: slow(64) });
    const x = { name: "x", shape: [64], datatype: "FP32", data: Array.from({ length: 64 }, (_, i) => i) };
    const iterations = { name: "iterations", shape: [], datatype: "INT64", data: [3000] };
    const body = JSON.stringify({ inputs: [x, iterations], parameters: { timeout: 1000, priority: 1 } });
    assert.equal((await slower.ask("/v2/models/slow/infer", { body })).status, 200);
  });

  it("whose numbers JSON cannot say is refused, and not answered wrongly", async () => {
    const parameters = { binary_data_size: 4 }, inputs = [{ name: "x", shape: [1], datatype: "FP32", parameters }];
    const { status, json } = await served.ask(
      "/v2/models/any/infer",
      withBinary({ inputs }, bytesOf(Float32Array.of(Infinity))),
    );
    assert.deepEqual([status, /"y".*binary/.test(json.error)], [400, true], json.error);
  });
});

const WRONG: readonly (readonly [what: string, status: number, text: RegExp, model: string, body: unknown])[] = [
  ["an unknown model", 404, /no model "nothing"/, "nothing", { inputs: [] }],
  ["an unknown version", 404, /no version "2"/, "add/versions/2", { inputs: [] }],
  ["no inputs", 400, /inputs/, "add", {}],
  ["a missing input", 400, /without input "b"/, "add", { inputs: [input("a", [1, 2])] }],
  ["an unknown input", 400, /"z"/, "add", { inputs: [input("a", [1, 2]), input("z", [1, 2])] }],
  ["another dtype", 400, /float32.*int32|int32.*float32/, "add", {
    inputs: [input("a", [1, 2], "INT32"), input("b", [1, 2])],
  }],
  ["another shape", 400, /shape/, "add", { inputs: [input("a", [1, 2, 3], "FP32", [3]), input("b", [1, 2])] }],
  ["an unknown output", 400, /"q"/, "add", {
    inputs: [input("a", [1, 2]), input("b", [1, 2])],
    outputs: [{ name: "q" }],
  }],
  ["no JSON", 400, /JSON/, "add", undefined],
];

describe("an inference with", () => {
  for (const [what, status, text, model, body] of WRONG) {
    it(`${what} is refused`, async () => {
      const found = await served.ask(`/v2/models/${model}/infer`, {
        body: body === undefined ? "{" : JSON.stringify(body),
      });
      assert.equal(found.status, status, found.text);
      assert.deepEqual(Object.keys(found.json), ["error"]);
      assert.match(found.json.error, text);
    });
  }

  it("a header length that is none, or beyond the body, is refused", async () => {
    for (const length of ["-1", "1e3", "99999", "x", "", "9999999999999999999999"]) {
      const headers = { "inference-header-content-length": length };
      const { status } = await served.ask("/v2/models/add/infer", { headers, body: "{}" });
      assert.equal(status, 400, length);
    }
  });
});

describe("what is nowhere", () => {
  it("is 404, and by another verb 405", async () => {
    const found = [
      ["GET", "/"],
      ["GET", "/v3"],
      ["GET", "/v2/models/add/infer"],
      ["POST", "/v2/health/live"],
      ["DELETE", "/v2"],
      ["GET", "/v2/models/..%2f..%2fetc/ready"],
    ].map(async ([method, path]) => (await served.ask(path!, { method: method! })).status);
    assert.deepEqual(await Promise.all(found), [404, 404, 405, 405, 405, 404]);
  });

  it("is an error where shared memory and control are not allowed", async () => {
    const region = "/v2/systemsharedmemory/region/r/register";
    assert.equal((await served.ask(region, { body: `{"key":"/k","offset":0,"byte_size":8}` })).status, 501);
    assert.equal((await served.ask("/v2/repository/models/add/unload", { body: "{}" })).status, 403);
    const parameters = { shared_memory_region: "r", shared_memory_byte_size: 8 };
    const inputs = [{ name: "x", shape: [2], datatype: "FP32", parameters }];
    assert.equal((await infer("any", { inputs })).status, 501);
  });
});

it("memory of devices is none, and all of it is forgotten", async () => {
  const memory = "/v2/cudasharedmemory";
  assert.deepEqual((await served.ask(`${memory}/status`)).json, []);
  assert.equal((await served.ask(`${memory}/unregister`, { method: "POST" })).status, 200);
  assert.equal((await served.ask(`${memory}/region/r/register`, { body: "{}" })).status, 501);
});

it("two workers cannot have one port", async () => {
  const { port } = new URL(served.endpoint);
  const { ModelWorker } = await import("../../../src/worker/mod.ts");
  const { Place } = await import("../support.ts");
  using place = new Place();
  const serving = ModelWorker.serve({ models: { a: place.file("a.onnx", add()) }, socket: place.socket, http: port });
  await assert.rejects(serving, { code: "HTTP_ADDRESS" });
  assert.equal((await ask(served.endpoint, "/v2/health/ready")).status, 200);
});
