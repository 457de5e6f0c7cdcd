import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, beforeEach, describe, it } from "node:test";
import { Tensor } from "../../mod.ts";
import { ModelClient } from "../../src/client/mod.ts";
import type { NumericData, NumericDType } from "../../src/tensor/dtype.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { failure, floats, nativeFloats, nativeZeros } from "../support/sessions.ts";
import { OipServer, reply } from "./oip_server.ts";
import { soon } from "./support.ts";

const a = floats([1, 2]), b = floats([3, 4]), feeds = { a, b };
const unsupported = failure("TypeError", "UNSUPPORTED");

for (const [kind, extensions] of [["binary data", ["binary_tensor_data"]], ["JSON only", []]] as const) {
  describe(`a model over HTTP, by ${kind}`, () => {
    let server: OipServer, client: ModelClient;
    before(async () => {
      server = await OipServer.listen();
      server.extensions = extensions;
      client = await ModelClient.connect(`${server.endpoint}/`);
    });
    beforeEach(() => void (server.came.length = 0));
    after(async () => {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    });

    it("runs as a session does", async () => {
      await using model = await client.model("add");
      const float32 = { kind: "tensor", dtype: "float32" } as const;
      assert.deepEqual(model.outputs.map(({ name, kind, dtype }) => ({ name, kind, dtype })), [{
        name: "c",
        ...float32,
      }]);
      assert.deepEqual([model.name, model.version, model.inputs.length], ["add", "2", 2]);
      for (let i = 0; i < 3; i++) assert.deepEqual([...(await model.run(feeds)).c!.data], [4, 6]);
      using out = await client.infer("add", { a: nativeFloats([1, 2]), b });
      assert.deepEqual([out.c!.shape, out.c!.storage, ...out.c!.data], [[2], "heap", 4, 6]);
    });

    it("takes strings, scalars and what has no elements", async () => {
      const text = Tensor.from(["", "ä – 漢字 🎉", "x".repeat(10_000)], [3], "string");
      assert.deepEqual((await client.infer("BYTES", { x: text })).y!.data, text.data);
      server.models.scalar = { inputs: [["x", "FP32", []]], outputs: [["y", "FP32", []]] };
      const { y } = await client.infer("scalar", { x: floats([3], []) });
      assert.deepEqual([y!.shape, ...y!.data], [[], 3]);
      assert.deepEqual((await client.infer("FP32", { x: floats([]) })).y!.shape, [0]);
    });

    it("refuses what a session refuses, and asks the server for nothing but whether it has changed", async () => {
      await using model = await client.model("add");
      server.came.length = 0;
      const wrong: [unknown, object | undefined, ReturnType<typeof failure>][] = [
        [{ a }, {}, failure("TypeError", "MISSING_FEED", /"b"/)],
        [{ a, b, c: a }, {}, failure("TypeError", "UNKNOWN_FEED", /"c"/)],
        [{ a, b: new Float32Array(2) }, {}, failure("TypeError", "INVALID_ARGUMENT")],
        [{ a, b: Tensor.from(new Float64Array(2)) }, {}, failure("TypeError", "INVALID_DTYPE", /"b"/)],
        [{ a, b: floats([1], [1, 1]) }, {}, failure("RangeError", "INVALID_SHAPE", /"b"/)],
        [feeds, { outputs: ["d"] }, failure("TypeError", "UNKNOWN_OUTPUT")],
        [feeds, { outputs: ["c", "c"] }, failure("TypeError", "INVALID_ARGUMENT")],
        [feeds, { outputs: [] }, failure("TypeError", "INVALID_ARGUMENT")],
        [feeds, { outputs: { c: floats([0, 0]) } }, unsupported],
        [feeds, { outputs: { c: nativeZeros("float64", [2]) } }, failure("TypeError", "INVALID_DTYPE")],
        [feeds, { outputStorage: "elsewhere" }, failure("TypeError", "INVALID_ARGUMENT")],
        [feeds, { priority: "highest" }, failure("TypeError", "INVALID_ARGUMENT")],
        [feeds, { timeoutMs: 0 }, failure("RangeError", "OUT_OF_RANGE")],
        [feeds, { queueTimeoutMs: 0 }, failure("RangeError", "OUT_OF_RANGE")],
        [feeds, { sequence: { id: 1, start: true } }, unsupported],
      ];
      for (const [fed, options, expected] of wrong) await assert.rejects(model.run(fed as never, options), expected);
      assert.equal(server.inferred.length, 0);
      const disposed = floats([1, 2]);
      disposed[Symbol.dispose]();
      await assert.rejects(model.run({ a, b: disposed }), failure("ReferenceError", "DISPOSED"));
    });

    it("writes into given tensors, and elsewhere than into the heap", async () => {
      using c = nativeZeros("float32", [2]);
      assert.equal((await client.infer("add", feeds, { outputs: { c } })).c, c);
      assert.deepEqual([...c.data], [4, 6]);
      using small = nativeZeros("float32", [1]);
      await assert.rejects(
        client.infer("add", feeds, { outputs: { c: small } }),
        failure("RangeError", "INVALID_SHAPE"),
      );
      for (const outputStorage of ["native", "shared"] as const) {
        for (const model of ["FP32", "fixed"]) {
          using out = await client.infer(model, { x: a }, { outputStorage });
          assert.deepEqual([out.y!.storage, ...out.y!.data], [outputStorage, 1, 2]);
        }
      }
      SharedMemoryAllocator.default[Symbol.dispose]();
    });

    it("whose inputs and outputs the server does not tell takes what it is given", async () => {
      for (const x of [a, Tensor.from(["a", "b"], [2], "string")]) {
        assert.deepEqual([...(await client.infer("untold", { x })).y!.data], [...x.data]);
        assert.deepEqual(Object.keys(await client.infer("untold", { x }, { outputs: ["y"] })), ["y"]);
      }
      using y = nativeZeros("float32", [2]);
      await client.infer("untold", { x: a }, { outputs: { y } });
      assert.deepEqual([...y.data], [1, 2]);
      const columns = Tensor.from([1, 2], [2], "int32");
      await assert.rejects(
        client.infer("untold", { x: columns }, { outputs: { y } }),
        failure("WorkerError", "WORKER_PROTOCOL"),
      );
      await assert.rejects(client.infer("untold", { x: 3 as never }), failure("TypeError", "INVALID_ARGUMENT"));
    });

    it("has versions, and names of every kind", async () => {
      await client.infer("add", feeds, { version: "1" });
      assert.equal(server.inferred[0]!.path, "/v2/models/add/versions/1/infer");
      server.models["a/b ä?"] = server.models.add!;
      assert.deepEqual([...(await client.infer("a/b ä?", feeds)).c!.data], [4, 6]);
      for (const name of ["", ".", "..", "\ud800"]) {
        await assert.rejects(client.model(name), failure("WorkerError", "UNKNOWN_MODEL"));
      }
      await assert.rejects(client.model("other"), failure("WorkerError", "UNKNOWN_MODEL", /nothing at/));
    });

    it("is told of priority and time in the queue, and of nothing otherwise", async () => {
      await client.infer("add", feeds);
      await client.infer("add", feeds, { priority: "high" });
      await client.infer("add", feeds, { priority: "low", timeoutMs: 20_000, queueTimeoutMs: 1.2345 });
      for (const long of [Number.MAX_SAFE_INTEGER, Infinity, 2 ** 31 + 1]) {
        await client.infer("add", feeds, { timeoutMs: long });
        await client.infer("add", feeds, { queueTimeoutMs: long });
      }
      await client.infer("add", feeds, { queueTimeoutMs: 2 ** 31 });
      const [none, high, low, ...long] = server.inferred.map(({ json }) => json.parameters);
      assert.deepEqual([none, high, low], [undefined, { priority: 1 }, { priority: 3, timeout: 1235 }]);
      assert.deepEqual(long, [...Array(6).fill(undefined), { timeout: 1000 * 2 ** 31 }]);
    });

    it("runs no thread down: there is no runSync", async () => {
      await using model = await client.model("add");
      assert.throws(() => model.runSync(feeds), unsupported);
    });

    it("reads feeds when the run begins", async () => {
      await client.model("add");
      const changed = floats([1, 2]), running = client.infer("add", { a: changed, b });
      changed.data.fill(-1);
      assert.deepEqual([...(await running).c!.data], [4, 6]);
    });

    it("answers a stream in its order, however fast each is", async () => {
      const waiting: (() => void)[] = [];
      server.inferences = (came, response) => {
        waiting.unshift(() => server.answer(came, response)); // the last first
        if (waiting.length === 4) waiting.splice(0).forEach((answer) => answer());
      };
      const inputs = Array.from({ length: 8 }, (_, i) => ({ a: floats([i]), b: floats([1]) })), found: number[] = [];
      for await (const { c } of client.inferStream("add", inputs, { maxInFlight: 4 })) found.push(Number(c!.data[0]));
      server.inferences = undefined;
      assert.deepEqual(found, [1, 2, 3, 4, 5, 6, 7, 8]);
    });
  });
}

describe("what goes over HTTP", () => {
  let server: OipServer, client: ModelClient;
  before(async () => {
    server = await OipServer.listen();
    client = await ModelClient.connect(server.endpoint);
  });
  beforeEach(() => {
    server.extensions = ["binary_tensor_data"];
    server.inferences = undefined;
    server.came.length = 0;
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  it("is what the protocol's own clients send", async () => {
    await client.infer("add", feeds, { outputs: ["c"] });
    const { method, path, headers, json, tail } = server.inferred[0]!;
    assert.deepEqual([method, path], ["POST", "/v2/models/add/infer"]);
    const input = (name: string) => ({ name, shape: [2], datatype: "FP32", parameters: { binary_data_size: 8 } });
    assert.deepEqual(json, {
      inputs: [input("a"), input("b")],
      outputs: [{ name: "c", parameters: { binary_data: true } }],
    });
    assert.equal(tail.toString("hex"), "0000803f000000400000404000008040");
    assert.deepEqual(
      [headers["content-type"], headers["transfer-encoding"], headers.origin],
      ["application/octet-stream", undefined, undefined],
    );
    assert.equal(Number(headers["content-length"]), Number(headers["inference-header-content-length"]) + 16);
  });

  it("is every dtype bit by bit", async () => {
    const dtypes = "float32 float64 float16 bfloat16 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split(" ");
    const names = "FP32 FP64 FP16 BF16 INT8 INT16 INT32 INT64 UINT8 UINT16 UINT32 UINT64 BOOL".split(" ");
    const bytesOf = ({ data }: Tensor): Buffer => {
      const { buffer, byteOffset, byteLength } = data as NumericData;
      return Buffer.from(buffer, byteOffset, byteLength);
    };
    for (const [i, dtype] of dtypes.entries()) {
      const x = Tensor.zeros(dtype as NumericDType, [13]);
      bytesOf(x).forEach((_, at, bytes) => bytes[at] = dtype === "bool" ? at % 2 : 37 * at + 11);
      const { y } = await client.infer(names[i]!, { x });
      assert.deepEqual([y!.dtype, y!.shape, bytesOf(y!).toString("hex")], [dtype, [13], bytesOf(x).toString("hex")]);
    }
  });

  it("is int64 with all its bits, also as JSON", async () => {
    const x = Tensor.from(BigInt64Array.of(2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n));
    assert.deepEqual([...(await client.infer("INT64", { x })).y!.data], [...x.data]);
    server.inferences = (_came, response) => {
      const output = `{"name":"y","datatype":"INT64","shape":[3],"data":[${x.data.join()}]}`;
      response.end(`{"model_name":"INT64","outputs":[${output}]}`);
    };
    assert.deepEqual([...(await client.infer("INT64", { x })).y!.data], [...x.data]);
  });

  it("is refused where JSON has no form of it", async () => {
    server.extensions = [];
    await using plain = await ModelClient.connect(server.endpoint);
    for (const [name, dtype] of [["FP16", "float16"], ["BF16", "bfloat16"]] as const) {
      const x = Tensor.zeros(dtype, [1]);
      await assert.rejects(plain.infer(name, { x }), failure("TypeError", "UNSUPPORTED", new RegExp(`"x".*${dtype}`)));
    }
    server.models.half = { inputs: [["x", "FP32", [-1]]], outputs: [["y", "FP16", [-1]]] };
    await assert.rejects(plain.infer("half", { x: a }), failure("TypeError", "UNSUPPORTED", /"y".*float16/));
    for (const value of [NaN, Infinity]) await assert.rejects(plain.infer("FP32", { x: floats([value]) }), unsupported);
    assert.equal(server.inferred.length, 0);
  });

  it("is an answer that is checked before it is believed", async () => {
    const about = (output: object, more: object = {}) => ({
      model_name: "FP32",
      outputs: [{ name: "y", datatype: "FP32", shape: [2], ...output }],
      ...more,
    });
    const answers: [unknown, Buffer[]][] = [
      [[], []],
      ["no object", []],
      [{ model_name: "FP32" }, []],
      [about({}), []],
      [about({ data: [1] }), []],
      [about({ data: [1, "2"] }), []],
      [about({ name: "z", data: [1, 2] }), []],
      [about({ datatype: "FP33", data: [1, 2] }), []],
      [about({ shape: [-2], data: [1, 2] }), []],
      [about({ parameters: { binary_data_size: 8 } }), [Buffer.alloc(4)]],
      [about({ parameters: { binary_data_size: 4 } }), [Buffer.alloc(4)]],
      [about({ parameters: { binary_data_size: 8 } }), [Buffer.alloc(12)]],
      [about({ parameters: { shared_memory_region: "r", shared_memory_byte_size: 8 } }), []],
    ];
    const broken = failure("WorkerError", "WORKER_PROTOCOL");
    for (const [json, tail] of answers) {
      server.inferences = (_came, response) => reply(response, 200, json, tail);
      await assert.rejects(client.infer("FP32", { x: a }), broken, JSON.stringify(json));
    }
    for (const length of ["x", "-1", "1e3", "99999", "9".repeat(30)]) {
      server.inferences = (came, response) => {
        response.setHeader("inference-header-content-length", length);
        server.answer({ ...came, json: { ...came.json, outputs: [{ name: "y" }] } }, response);
      };
      await assert.rejects(client.infer("FP32", { x: a }), broken, length);
    }
    server.inferences = (_came, response) => response.end("<html>");
    await assert.rejects(client.infer("FP32", { x: a }), broken);
  });

  it("is whatever dtype an output has, where nothing is to be written with it", async () => {
    const output = { name: "y", datatype: "INT32", shape: [1], data: [7] };
    server.inferences = (_came, response) => reply(response, 200, { model_name: "FP32", outputs: [output] });
    assert.deepEqual((await client.infer("FP32", { x: a })).y!.as("int32").data[0], 7);
    using y = nativeZeros("float32", [1]);
    await assert.rejects(client.infer("FP32", { x: a }, { outputs: { y } }), failure("WorkerError", "WORKER_PROTOCOL"));
  });

  it("is large", async () => {
    const x = Tensor.from(Float32Array.from({ length: 1 << 20 }, (_, i) => i));
    const { y } = await soon(client.infer("FP32", { x }));
    assert.ok(y!.as("float32").data.every((value, i) => value === i));
  });
});
