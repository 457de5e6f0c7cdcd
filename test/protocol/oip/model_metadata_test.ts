import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ValueInfo } from "../../../src/ort/type_info.ts";
import { decodeModelMetadata, encodeModelMetadata } from "../../../src/protocol/oip/model_metadata.ts";
import { failure } from "../../support/sessions.ts";

const port = (name: string, kind: ValueInfo["kind"], dtype: string, shape: ValueInfo["shape"]): ValueInfo => ({
  name,
  kind,
  dtype,
  shape,
});

describe("a model's metadata", () => {
  it("tell of its tensors, with -1 for what is open", () => {
    const found = encodeModelMetadata({
      index: 0,
      name: "m",
      version: "2",
      revision: 1,
      inputs: [
        port("a", "tensor", "float32", ["batch", 3, -1]),
        port("b", "optional", "optional<tensor<int64>>", []),
        port("c", "sequence", "sequence<tensor<float32>>", []),
        port("d", "tensor", "uint4", [2]),
      ],
      outputs: [port("e", "tensor", "string", []), port("f", "map", "map<int64, float32>", [])],
      overridable: [port("w", "tensor", "float32", [3])],
      state: ["b"],
    });
    assert.deepEqual(found, {
      name: "m",
      versions: ["2"],
      platform: "onnxruntime_onnx",
      inputs: [{ name: "a", datatype: "FP32", shape: [-1, 3, -1] }, { name: "b", datatype: "INT64", shape: [] }],
      outputs: [{ name: "e", datatype: "BYTES", shape: [] }],
    });
  });

  it("are read with a name for each dimension that is open", () => {
    const found = decodeModelMetadata({
      name: "m",
      versions: ["1", "2"],
      platform: "p",
      inputs: [{ name: "a", datatype: "FP32", shape: [-1, 3, -1] }, { name: "b", datatype: "FP8", shape: [] }],
      outputs: [{ name: "a", datatype: "BOOL", shape: [-1] }],
      more: 7,
    });
    assert.deepEqual(found, {
      name: "m",
      versions: ["1", "2"],
      platform: "p",
      inputs: [port("a", "tensor", "float32", ["dim0", 3, "dim1"]), port("b", "tensor", "FP8", [])],
      outputs: [port("a", "tensor", "bool", ["dim2"])],
    });
  });

  it("may leave out versions and platform", () => {
    const { versions, platform } = decodeModelMetadata({ name: "m", inputs: [], outputs: [] });
    assert.deepEqual([versions, platform], [[], ""]);
  });

  const fine = { name: "m", versions: ["1"], platform: "p", inputs: [], outputs: [] };
  const given = { name: "a", datatype: "FP32", shape: [1] };
  for (
    const found of [
      undefined,
      null,
      7,
      "m",
      [],
      {},
      { ...fine, name: 7 },
      { ...fine, versions: "1" },
      { ...fine, versions: [1] },
      { ...fine, platform: 7 },
      { ...fine, inputs: undefined },
      { ...fine, outputs: {} },
      { ...fine, inputs: [null] },
      { ...fine, inputs: [{ ...given, name: 7 }] },
      { ...fine, inputs: [{ ...given, datatype: undefined }] },
      { ...fine, inputs: [{ ...given, shape: "[1]" }] },
      { ...fine, inputs: [{ ...given, shape: [-2] }] },
      { ...fine, inputs: [{ ...given, shape: [1.5] }] },
      { ...fine, inputs: [{ ...given, shape: ["n"] }] },
      { ...fine, inputs: [{ ...given, shape: new Array(65).fill(1) }] },
      { ...fine, outputs: [given, given] },
    ]
  ) {
    it(`are refused where they are none: ${JSON.stringify(found)?.slice(0, 100)}`, () => {
      assert.throws(() => decodeModelMetadata(found), failure("WorkerError", "WORKER_PROTOCOL"));
    });
  }
});
