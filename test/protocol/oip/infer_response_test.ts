import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  decodeInferResponse,
  encodeInferResponse,
  type InferResponse,
  type InferResponseOutput,
} from "../../../src/protocol/oip/infer_response.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { failure, floats, nativeFloats } from "../../support/sessions.ts";
import { bytesOf, contentOf, floatBytes, joined, SAMPLES } from "./support.ts";

const output = (name: string, tensor: Tensor, isBinary: boolean): InferResponseOutput => ({
  name,
  dtype: tensor.dtype,
  shape: tensor.shape,
  tensor,
  isBinary,
  part: undefined,
});
const response = (...outputs: readonly InferResponseOutput[]): InferResponse => ({
  modelName: "m",
  modelVersion: "1",
  id: undefined,
  outputs,
});

describe("a response", () => {
  it("is JSON, flat, where nothing else is asked for", () => {
    const { text, headerLength } = joined(encodeInferResponse({
      ...response(output("a", floats([0.5, 2], [1, 2]), false)),
      id: '"4',
    }));
    assert.equal(headerLength, undefined);
    const outputs = '[{"name":"a","shape":[1,2],"datatype":"FP32","data":[0.5,2]}]';
    assert.equal(text, `{"model_name":"m","model_version":"1","id":"\\"4","outputs":${outputs}}`);
  });

  it("has bytes behind the JSON where they are asked for, borrowed from the tensors", () => {
    using tensor = nativeFloats([1, NaN]);
    const encoded = encodeInferResponse(response(output("a", floats([1]), false), output("b", tensor, true)));
    assert.equal(encoded.parts[1]!.buffer, tensor.data.buffer);
    const { text, body, headerLength } = joined(encoded);
    const parameters = '"parameters":{"binary_data_size":8}';
    assert.ok(text.trimEnd().endsWith(`{"name":"b","shape":[2],"datatype":"FP32",${parameters}}]}`), text);
    assert.deepEqual([headerLength, headerLength! % 8], [text.length, 0]);
    assert.deepEqual(body.subarray(headerLength), floatBytes(1, NaN));
  });

  it("says of what is in shared memory where it is", () => {
    const part = { region: "r", byteOffset: 16, byteLength: 8 };
    const given = response({ ...output("a", floats([1, 2]), false), tensor: undefined, part });
    const { text, body, headerLength } = joined(encodeInferResponse(given));
    assert.deepEqual(JSON.parse(text).outputs, [{
      name: "a",
      shape: [2],
      datatype: "FP32",
      parameters: { shared_memory_region: "r", shared_memory_byte_size: 8, shared_memory_offset: 16 },
    }]);
    assert.deepEqual(decodeInferResponse(body, headerLength), given);
  });

  it("writes whole numbers with all their digits", () => {
    const { text } = joined(encodeInferResponse(response(
      output("a", Tensor.from([-(2n ** 63n), 2n ** 53n + 1n], [2], "int64"), false),
      output("b", Tensor.from([2n ** 64n - 1n], [1], "uint64"), false),
    )));
    assert.match(text, /"data":\[-9223372036854775808,9007199254740993\].*"data":\[18446744073709551615\]/);
  });

  for (const tensor of SAMPLES) {
    it(`is read as it was: ${tensor.dtype}`, () => {
      const hasJson = tensor.dtype !== "float16" && tensor.dtype !== "bfloat16";
      const outputs = [output("b", tensor, true), ...(hasJson ? [output("a", tensor, false)] : [])];
      const { body, headerLength } = joined(encodeInferResponse(response(...outputs)));
      const found = decodeInferResponse(body, headerLength);
      assert.deepEqual(found.outputs.map(({ isBinary }) => isBinary), outputs.map(({ isBinary }) => isBinary));
      for (const { tensor: one } of found.outputs) assert.deepEqual(contentOf(one!), contentOf(tensor));
    });
  }

  it("has tensors of no elements, and scalars", () => {
    const tensors = [Tensor.zeros("float32", [0, 3]), Tensor.zeros("string", [0]), Tensor.from([true], [], "bool")];
    for (const isBinary of [false, true]) {
      const outputs = tensors.map((tensor, i) => output(`${i}`, tensor, isBinary));
      const { body, headerLength } = joined(encodeInferResponse(response(...outputs)));
      const found = decodeInferResponse(body, headerLength).outputs;
      assert.deepEqual(found.map(({ tensor }) => contentOf(tensor!)), tensors.map(contentOf));
    }
  });

  for (const value of [NaN, Infinity, -Infinity]) {
    for (const dtype of ["float32", "float64"] as const) {
      it(`is refused as JSON with ${value} of ${dtype} in it`, () => {
        const given = response(output("OUT", Tensor.from([1, value], [2], dtype), false));
        const message = new RegExp(`output "OUT" as JSON: element 1 is ${value}, .*; ask for .*binary_data`);
        assert.throws(() => encodeInferResponse(given), { name: "OipError", status: 400, message });
      });
    }
  }

  for (const [dtype, datatype] of [["float16", "FP16"], ["bfloat16", "BF16"]] as const) {
    it(`is refused as JSON with ${datatype} in it`, () => {
      const given = response(output("OUT", Tensor.from([1], [1], dtype), false));
      const message = new RegExp(`output "OUT" as JSON: it is ${datatype}, .*; ask for .*binary_data`);
      assert.throws(() => encodeInferResponse(given), { name: "OipError", status: 400, message });
    });
  }
});

describe("a response of another server", () => {
  const read = (text: string, ...binary: Uint8Array[]): InferResponse =>
    decodeInferResponse(bytesOf(text, ...binary), binary.length === 0 ? undefined : bytesOf(text).length);

  it("is read without what it may leave out, or says to be null", () => {
    const outputs = '[{"name":"a","shape":[1,2],"datatype":"FP32","parameters":null,"data":[[1,2]]}]';
    for (const rest of ['"model_version":null,"id":null,"parameters":{"other":1},', ""]) {
      const found = read(`{"model_name":"m",${rest}"outputs":${outputs}}`);
      assert.deepEqual([found.modelVersion, found.id], [undefined, undefined]);
      assert.deepEqual(contentOf(found.outputs[0]!.tensor!), contentOf(floats([1, 2], [1, 2])));
    }
  });

  it("may say nothing of where in shared memory an output is", () => {
    const given = '{"model_name":"m","outputs":[{"name":"a","shape":[2],"datatype":"FP32"}]}';
    const found = read(given), [{ tensor, part, shape }] = found.outputs as [InferResponseOutput];
    assert.deepEqual([tensor, part, shape], [undefined, undefined, [2]]);
    assert.equal(joined(encodeInferResponse(found)).text, given);
  });

  it("keeps all 64 bits", () => {
    const outputs = '[{"name":"a","shape":[1],"datatype":"INT64","data":[-9007199254740993]}]';
    const [found] = read(`{"model_name":"m","outputs":${outputs}}`).outputs;
    assert.deepEqual(found!.tensor!.data, BigInt64Array.of(-9007199254740993n));
  });

  for (
    const text of [
      "",
      "[]",
      "{}",
      '{"model_name":7,"outputs":[]}',
      '{"model_name":"m"}',
      '{"model_name":"m","outputs":[7]}',
      '{"model_name":"m","outputs":[{"name":"a","shape":[2],"datatype":"FP32","data":[1]}]}',
      '{"model_name":"m","outputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[NaN]}]}',
      '{"model_name":"m","outputs":[{"name":"a","shape":[1],"datatype":"FP8","data":[1]}]}',
      '{"model_name":"m","outputs":[{"name":"a","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}',
    ]
  ) {
    it(`is refused where it is none: ${text.slice(0, 100)}`, () => {
      assert.throws(() => read(text), failure("WorkerError", "WORKER_PROTOCOL"));
    });
  }
});
