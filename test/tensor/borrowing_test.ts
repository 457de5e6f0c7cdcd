import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { runInNewContext } from "node:vm";
import { storageOf } from "../../src/tensor/internal.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

describe("an array over memory that others may change", () => {
  it("is copied from a SharedArrayBuffer", () => {
    const array = new Float32Array(new SharedArrayBuffer(8)), tensor = Tensor.from(array);
    array[0] = 5;
    assert.equal(tensor.data[0], 0);
    assert.ok(tensor.data.buffer instanceof ArrayBuffer);
  });

  it("is copied from a resizable buffer", () => {
    const buffer = new ArrayBuffer(8, { maxByteLength: 16 }), array = new Float32Array(buffer);
    array[1] = 2;
    const tensor = Tensor.from(array, [2]);
    buffer.resize(0);
    storageOf(tensor).check();
    assert.deepEqual([...tensor.data], [0, 2]);
  });

  it("is copied from another realm", () => {
    const array: BigInt64Array = runInNewContext("globalThis.array = new BigInt64Array([1n, 2n])");
    const tensor = Tensor.from(array, [2]);
    assert.equal(tensor.dtype, "int64");
    array[0] = 9n;
    assert.deepEqual(tensor.data, new BigInt64Array([1n, 2n]));
    assert.deepEqual(Tensor.from(runInNewContext("[1, 2]"), [2], "int8").data, new Int8Array([1, 2]));
    assert.equal(Tensor.from(runInNewContext("new Uint16Array([0x3c00])"), [1], "float16").data[0], 1);
  });

  it("is copied from another realm's buffer under an array of this one", () => {
    const buffer: ArrayBuffer = runInNewContext("new ArrayBuffer(4)");
    const array = new Float32Array(buffer), tensor = Tensor.from(array);
    array[0] = 1;
    assert.equal(tensor.data[0], 0);
  });
});

describe("an array of a derived type", () => {
  it("is borrowed as the plain one", () => {
    const bytes = Buffer.from([1, 2, 3]), tensor = Tensor.from(bytes);
    assert.equal(tensor.dtype, "uint8");
    assert.equal(Object.getPrototypeOf(tensor.data), Uint8Array.prototype);
    bytes[1] = 9;
    assert.deepEqual([...tensor.data], [1, 9, 3]);
  });

  it("is borrowed from a picture's pixels", () => {
    const pixels = new Uint8ClampedArray(4), tensor: Tensor<"uint8"> = Tensor.from(pixels);
    pixels[3] = 7;
    assert.equal(tensor.data[3], 7);
  });
});

describe("an array whose buffer was transferred", () => {
  it("makes no tensor", () => {
    const array = new Float32Array(4);
    structuredClone(array.buffer, { transfer: [array.buffer] });
    assert.throws(() => Tensor.from(array), { name: "TypeError", code: "TENSOR_DETACHED" });
  });

  it("makes its tensor useless", () => {
    const array = new Float32Array(4), tensor = Tensor.from(array);
    storageOf(tensor).check();
    structuredClone(array.buffer, { transfer: [array.buffer] });
    assert.throws(() => storageOf(tensor).check(), { name: "TypeError", code: "TENSOR_DETACHED" });
    assert.equal(tensor.data.length, 0);
  });

  it("does so for strings that were taken away, too", () => {
    const tensor = Tensor.from(["a", "b"], [2], "string");
    tensor.data.pop();
    assert.throws(() => storageOf(tensor).check(), { code: "TENSOR_DETACHED" });
  });
});
