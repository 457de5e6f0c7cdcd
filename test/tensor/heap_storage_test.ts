import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { heapBytes, heapFromNative } from "../../src/tensor/internal.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

const shape = (length: number): readonly number[] => Object.freeze([length]);

describe("heapFromNative", () => {
  for (const length of [0, 1, 16, 17, 500, 512, 513, 5000]) {
    it(`copies ${length} elements`, () => {
      const source = Float32Array.from({ length }, (_, i) => i + 1);
      const tensor = heapFromNative("float32", shape(length), source);
      const expected = source.slice();
      source.fill(-1);
      assert.deepEqual(tensor.data, expected);
      assert.equal(tensor.data.byteOffset, 0);
      assert.equal(tensor.data.buffer.byteLength, length * 4);
      assert.equal(tensor.data, tensor.data);
    });
  }

  it("keeps small tensors apart, though they share a slab", () => {
    const tensors = Array.from({ length: 2000 }, (_, i) =>
      heapFromNative(
        "int64",
        shape(3),
        new BigInt64Array([
          BigInt(i),
          0n,
          BigInt(-i),
        ]),
      ));
    tensors.forEach((tensor, i) => {
      if (i % 2 === 0) tensor.data.fill(77n);
    });
    tensors.forEach((tensor, i) => {
      if (i % 2 === 1) assert.deepEqual(tensor.data, new BigInt64Array([BigInt(i), 0n, BigInt(-i)]));
    });
  });

  it("gives every tensor a buffer of its own, which others do not see", () => {
    const a = heapFromNative("uint8", shape(2), new Uint8Array([1, 2])),
      b = heapFromNative("uint8", shape(1), new Uint8Array([3]));
    assert.notEqual(a.data.buffer, b.data.buffer);
    structuredClone(a.data.buffer, { transfer: [a.data.buffer] });
    assert.deepEqual([...b.data], [3]);
  });
});

describe("heapBytes", () => {
  it("shows the bytes before and after the tensor has an array", () => {
    heapFromNative("float32", shape(1), new Float32Array([9]));
    const tensor = heapFromNative("float32", shape(2), new Float32Array([1, 2]));
    const bytes = heapBytes(tensor)!;
    assert.equal(bytes.byteOffset % 64, 0);
    assert.deepEqual(new Float32Array(bytes.slice().buffer), new Float32Array([1, 2]));
    bytes.fill(0);
    tensor.data[1] = 4;
    assert.deepEqual(new Float32Array(heapBytes(tensor)!.buffer), new Float32Array([0, 4]));
  });

  it("shows the part of a buffer that was borrowed", () => {
    const array = new Int16Array([1, 2, 3]).subarray(1, 2);
    assert.deepEqual([...heapBytes(Tensor.from(array))!], [2, 0]);
  });

  it("is of heap tensors alone", () => {
    using tensor = Tensor.zeros("int8", [1], { storage: "native" });
    assert.equal(heapBytes(tensor), undefined);
  });
});
