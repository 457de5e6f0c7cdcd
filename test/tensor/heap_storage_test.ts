import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { heapFromNative } from "../../src/tensor/internal.ts";

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
