import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type DType, dtypeOfOnnx, DTYPES, elementByteLength, onnxElementType } from "../../src/tensor/dtype.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

describe("dtypes", () => {
  it("have ONNX's numbers", () => {
    const names = "float32 uint8 int8 uint16 int16 int32 int64 string bool float16 float64 uint32 uint64".split(" ");
    names.forEach((name, i) => assert.equal(onnxElementType(name as DType), i + 1));
    assert.equal(onnxElementType("bfloat16"), 16);
    assert.equal(DTYPES.length, 14);
    for (const dtype of DTYPES) assert.equal(dtypeOfOnnx(onnxElementType(dtype)), dtype);
    for (const none of [0, 14, 15, 17, -1, NaN]) assert.equal(dtypeOfOnnx(none), undefined);
  });

  it("have their sizes", () => {
    const bytes = DTYPES.map((dtype) => `${dtype} ${elementByteLength(dtype)}`).join(", ");
    assert.equal(
      bytes,
      "float32 4, uint8 1, int8 1, uint16 2, int16 2, int32 4, int64 8, string 0, bool 1, float16 2, float64 8, " +
        "uint32 4, uint64 8, bfloat16 2",
    );
  });
});

const values = {
  float32: [0.5, -1, 3e38],
  float64: [0.1, -1e300, 5e-324],
  float16: [0.5, -1, 65504],
  bfloat16: [0.5, -1, 1e38],
  int8: [-128, 127, 1],
  int16: [-32768, 32767, 1],
  int32: [-(2 ** 31), 2 ** 31 - 1, 1],
  int64: [-(2n ** 63n), 2n ** 63n - 1n, 1],
  uint8: [255, 0, 1],
  uint16: [65535, 0, 1],
  uint32: [2 ** 32 - 1, 0, 1],
  uint64: [2n ** 64n - 1n, 0, 1],
  bool: [true, false, 1],
  string: ["a", "", "ü\0"],
} as const satisfies Record<DType, readonly (number | bigint | boolean | string)[]>;

const arrays = {
  float32: new Float32Array(values.float32),
  float64: new Float64Array(values.float64),
  float16: new Float16Array(values.float16),
  bfloat16: new Uint16Array([0x3f00, 0xbf80, 0x7e96]),
  int8: new Int8Array(values.int8),
  int16: new Int16Array(values.int16),
  int32: new Int32Array(values.int32),
  int64: new BigInt64Array([-(2n ** 63n), 2n ** 63n - 1n, 1n]),
  uint8: new Uint8Array(values.uint8),
  uint16: new Uint16Array(values.uint16),
  uint32: new Uint32Array(values.uint32),
  uint64: new BigUint64Array([2n ** 64n - 1n, 0n, 1n]),
  bool: new Uint8Array([1, 0, 1]),
} as const;

for (const dtype of DTYPES) {
  describe(`Tensor of ${dtype}`, () => {
    it("holds the values of a plain array", () => {
      const tensor = Tensor.from(values[dtype], [3], dtype);
      assert.equal(tensor.dtype, dtype);
      assert.equal(tensor.byteLength, 3 * elementByteLength(dtype));
      assert.deepEqual(tensor.data, dtype === "string" ? values.string.slice() : arrays[dtype]);
    });

    it("has zeros", () => {
      const { data } = Tensor.zeros(dtype, [2, 2]);
      assert.equal(data.length, 4);
      for (const value of data) assert.ok(value === "" || Number(value) === 0);
    });

    if (dtype === "string") return;

    it("borrows its typed array", () => {
      const array = arrays[dtype];
      assert.equal(Tensor.from(array, [3], dtype).data, array);
    });

    it("lies in native memory", () => {
      using tensor = Tensor.zeros(dtype, [3], { storage: "native" });
      (tensor.data as Float32Array).set(arrays[dtype] as Float32Array);
      assert.deepEqual(tensor.data, arrays[dtype]);
      assert.equal(tensor.data.byteLength, tensor.byteLength);
    });
  });
}
