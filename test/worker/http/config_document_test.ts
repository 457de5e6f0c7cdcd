import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ValueInfo } from "../../../src/ort/type_info.ts";
import { DTYPES } from "../../../src/tensor/dtype.ts";
import type { Batchability } from "../../../src/worker/batch_axes.ts";
import { configDocument, type ModelConfigDocument } from "../../../src/worker/http/config_document.ts";
import { completeConfig, type ModelConfig } from "../../../src/worker/model_config.ts";

const OFF: Batchability = { reason: "maxBatchSize is 1" };
const value = (name: string, dtype: string, shape: ValueInfo["shape"]): ValueInfo => //
({ name, kind: "tensor", dtype, shape });

function documentOf(
  inputs: readonly ValueInfo[],
  outputs: readonly ValueInfo[],
  batching: Batchability = OFF,
  options: Partial<ModelConfig> = {},
): ModelConfigDocument {
  return configDocument({ name: "m", config: completeConfig("m", { path: "m.onnx", ...options }), batching }, {
    inputs,
    outputs,
  });
}

describe("the document of a model's configuration", () => {
  it("tells of inputs and outputs by Triton's names", () => {
    const document = documentOf([value("a", "float32", ["batch", 3, -1])], [value("b", "int64", [])]);
    assert.deepEqual(document, {
      name: "m",
      platform: "onnxruntime_onnx",
      backend: "onnxruntime",
      max_batch_size: 0,
      input: [{ name: "a", data_type: "TYPE_FP32", dims: [-1, 3, -1] }],
      output: [{ name: "b", data_type: "TYPE_INT64", dims: [] }],
      parameters: { coload_max_batch_size: { string_value: "1" } },
    });
  });

  it("has a name for each dtype, and one for what is none", () => {
    const infos = [...DTYPES, "sequence<tensor<float32>>"].map((dtype) => value(dtype, dtype, []));
    const types = documentOf(infos, []).input.map(({ name, data_type }) => [name, data_type]);
    assert.deepEqual(Object.fromEntries(types), {
      float32: "TYPE_FP32",
      uint8: "TYPE_UINT8",
      int8: "TYPE_INT8",
      uint16: "TYPE_UINT16",
      int16: "TYPE_INT16",
      int32: "TYPE_INT32",
      int64: "TYPE_INT64",
      string: "TYPE_STRING",
      bool: "TYPE_BOOL",
      float16: "TYPE_FP16",
      float64: "TYPE_FP64",
      uint32: "TYPE_UINT32",
      uint64: "TYPE_UINT64",
      bfloat16: "TYPE_BF16",
      "sequence<tensor<float32>>": "TYPE_INVALID",
    });
  });

  it("leaves the batch out of dims where it is the first axis of all", () => {
    const batching = { axes: { inputs: { a: 0 }, outputs: { b: 0 } } };
    const document = documentOf(
      [value("a", "float32", ["N", 3])],
      [value("b", "float32", ["N"])],
      batching,
      { maxBatchSize: 16, maxQueueDelayMs: 0.5 },
    );
    assert.equal(document.max_batch_size, 16);
    assert.deepEqual([document.input[0]!.dims, document.output[0]!.dims], [[3], []]);
    assert.deepEqual(document.dynamic_batching, { max_queue_delay_microseconds: 500 });
    assert.deepEqual(document.parameters, { coload_max_batch_size: { string_value: "16" } });
  });

  it("says 0 and all dims where it is another axis, or one input has none", () => {
    const inputs = [value("a", "float32", ["N", 3]), value("rate", "int64", [])];
    for (const axes of [{ a: 0, rate: "same" as const }, { a: 1, rate: "same" as const }]) {
      const batching = { axes: { inputs: axes, outputs: { b: 0 } } };
      const document = documentOf(inputs, [value("b", "float32", ["N"])], batching, { maxBatchSize: 16 });
      assert.equal(document.max_batch_size, 0);
      assert.deepEqual(document.input.map(({ dims }) => dims), [[-1, 3], []]);
      assert.deepEqual(document.dynamic_batching, { max_queue_delay_microseconds: 0 });
      assert.equal(document.parameters.coload_max_batch_size!.string_value, "16");
    }
  });

  it("says nothing of batching where requests are not joined, though they were to be", () => {
    const off = { reason: "no input has an open dimension" };
    const document = documentOf([value("a", "float32", [1, 3])], [], off, { maxBatchSize: 16 });
    assert.equal(document.max_batch_size, 0);
    assert.equal(document.dynamic_batching, undefined);
    assert.deepEqual(document.parameters, { coload_max_batch_size: { string_value: "1" } });
  });
});
