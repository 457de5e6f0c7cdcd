import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { tensorByteLength } from "../../src/tensor/bytes.ts";
import { type DType, DTYPES, elementByteLength } from "../../src/tensor/dtype.ts";
import { heapStorage, makeTensor } from "../../src/tensor/internal.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { failure } from "../support/sessions.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const invalid = failure("TypeError", "INVALID_BYTES");
const NUMERIC = DTYPES.filter((dtype) => dtype !== "string");

/** A tensor of which every byte differs from those before it. */
function numbered(dtype: DType, shape: readonly number[]): Tensor {
  const tensor = Tensor.zeros(dtype, shape), bytes = bytesOf(tensor);
  bytes.forEach((_, i) => bytes[i] = dtype === "bool" ? i % 2 : i + 1);
  return tensor;
}

/** A tensor's memory. */
function bytesOf({ data }: Tensor): Bytes {
  const { buffer, byteOffset, byteLength } = data as Uint8Array<ArrayBuffer>;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The same bytes at another place in a buffer. */
function moved(bytes: Bytes, by: number): Bytes {
  const room = new Uint8Array(bytes.length + by);
  room.set(bytes, by);
  return room.subarray(by);
}

/** Whether these bytes are no tensor, or a sound one. Any other error is thrown. */
function isRefusedOrSound(bytes: Bytes): boolean {
  let tensor: Tensor;
  try {
    tensor = Tensor.fromBytes(bytes);
  } catch (error) {
    if ((error as { code?: string }).code === "INVALID_BYTES") return true;
    throw error;
  }
  return tensor.data.length === tensor.size && tensor.toBytes().length === bytes.length;
}

const SAMPLES: readonly Tensor[] = [
  Tensor.from(["ab", "", "ü"], [3], "string"),
  Tensor.from([1, 2, 3, 4, 5, 6], [2, 3], "float32"),
  Tensor.from([-1], [], "int64"),
  Tensor.zeros("float16", [0, 7]),
];

describe("toBytes and fromBytes", () => {
  for (const dtype of NUMERIC) {
    it(`carry ${dtype} tensors of any shape`, () => {
      for (const shape of [[], [1], [0], [3, 0, 2], [2, 3], [1, 2, 1, 3], new Array(40).fill(1)]) {
        const tensor = numbered(dtype, shape), bytes = tensor.toBytes(), read = Tensor.fromBytes(bytes);
        assert.deepEqual([read.dtype, read.shape, read.storage], [dtype, shape, "heap"]);
        assert.deepEqual(bytesOf(read), bytesOf(tensor));
        assert.equal(tensorByteLength(bytes), bytes.length);
        assert.equal(bytes.length % 64, tensor.byteLength % 64);
      }
    });
  }

  it("carry strings, whatever is in them", () => {
    const strings = ["", "a", "a\0b", "\0", "\ufeffBOM", "😀👩‍👩‍👧", "ü".repeat(1000), "\u2028"];
    for (const shape of [[8], [2, 4], [2, 2, 2]]) {
      const read = Tensor.fromBytes(Tensor.from(strings, shape, "string").toBytes());
      assert.deepEqual([read.dtype, read.shape, read.data], ["string", shape, strings]);
    }
    assert.deepEqual(Tensor.fromBytes(Tensor.from(["one"], [], "string").toBytes()).data, ["one"]);
    assert.deepEqual(Tensor.fromBytes(Tensor.zeros("string", [0, 2]).toBytes()).shape, [0, 2]);
  });

  it("keep every bit of a NaN", () => {
    const bits32 = new Uint32Array([0x7fa00001, 0xffc12345, 0x7fffffff]);
    const bits64 = new BigUint64Array([0x7ff0000000000001n, 0xfff8123456789abcn]), bits16 = new Uint16Array([0x7c01]);
    const floats = [new Float32Array(bits32.buffer), new Float64Array(bits64.buffer), new Float16Array(bits16.buffer)];
    for (const array of floats) {
      const read = Tensor.fromBytes(moved(Tensor.from(array).toBytes(), 1));
      assert.deepEqual(bytesOf(read), new Uint8Array(array.buffer));
    }
  });

  it("carry native memory, and views of a part", () => {
    using native = Tensor.zeros("int32", [3], { storage: "native" });
    native.data.set([1, 2, 3]);
    assert.deepEqual([...Tensor.fromBytes(native.toBytes()).data], [1, 2, 3]);
    const part = Tensor.from(new Float64Array([9, 1, 2, 9]).subarray(1, 3));
    assert.deepEqual([...Tensor.fromBytes(part.toBytes()).data], [1, 2]);
  });

  it("write strided tensors in row-major order", () => {
    const data = heapStorage(new Int16Array([0, 1, 2, 3, 4, 5]));
    const tensor = makeTensor("int16", Object.freeze([2, 3]), data, { strides: Object.freeze([1, 2]) });
    const read = Tensor.fromBytes(tensor.toBytes());
    assert.deepEqual([[...read.data], read.strides], [[0, 2, 4, 1, 3, 5], [3, 1]]);
  });

  it("refuse what they cannot carry", () => {
    const disposed = Tensor.zeros("int8", [1], { storage: "native" });
    disposed[Symbol.dispose]();
    assert.throws(() => disposed.toBytes(), failure("ReferenceError", "DISPOSED"));
    assert.equal(Tensor.fromBytes(numbered("int8", new Array(255).fill(1)).toBytes()).shape.length, 255);
    assert.throws(() => numbered("int8", new Array(256).fill(1)).toBytes(), failure("TypeError", "INVALID_SHAPE"));
  });
});

describe("fromBytes", () => {
  it("borrows the bytes where the elements are aligned", () => {
    for (const by of [0, 8, 64]) {
      const bytes = moved(Tensor.from(new Float64Array([1, 2])).toBytes(), by), read = Tensor.fromBytes(bytes);
      new DataView(bytes.buffer).setFloat64(bytes.byteOffset + bytes.length - 8, 7, true);
      assert.deepEqual([...read.data], [1, 7]);
    }
  });

  it("copies them where they are not", () => {
    for (const dtype of NUMERIC.filter((dtype) => elementByteLength(dtype) > 1)) {
      const tensor = numbered(dtype, [3]), bytes = moved(tensor.toBytes(), 1), read = Tensor.fromBytes(bytes);
      bytes.fill(0);
      assert.deepEqual(bytesOf(read), bytesOf(tensor));
    }
  });

  it("does so for a Buffer, whose slice is no copy", () => {
    for (const by of [0, 1, 2, 4, 8]) {
      const bytes = Buffer.alloc(80 + by);
      bytes.set(Tensor.from([1, 2], [2], "float64").toBytes(), by);
      const read = Tensor.fromBytes(bytes.subarray(by) as Bytes);
      assert.deepEqual([...read.data], [1, 2]);
      assert.equal(Object.getPrototypeOf(read.data), Float64Array.prototype);
    }
  });

  it("copies what somebody else could take away or change", () => {
    const bytes = Tensor.from([1, 2], [2], "float32").toBytes(), resizable = new ArrayBuffer(72, { maxByteLength: 99 });
    new Uint8Array(resizable).set(bytes);
    const read = Tensor.fromBytes(new Uint8Array(resizable));
    resizable.resize(0);
    assert.deepEqual([...read.data], [1, 2]);
  });

  it("refuses bytes that are cut short or go on", () => {
    for (const tensor of SAMPLES) {
      const bytes = tensor.toBytes();
      for (let length = 0; length < bytes.length; length++) {
        assert.throws(() => Tensor.fromBytes(bytes.slice(0, length)), invalid);
        assert.throws(() => Tensor.fromBytes(bytes.subarray(0, length)), invalid);
      }
      assert.throws(() => Tensor.fromBytes(new Uint8Array([...bytes, 0])), invalid);
    }
  });

  it("refuses what are no bytes", () => {
    for (const given of [null, undefined, 3, "CLTN", {}, [1, 2], new ArrayBuffer(80), new Float32Array(20)]) {
      assert.throws(() => Tensor.fromBytes(given as Bytes), invalid, String(given));
    }
  });

  it("refuses strings that are not UTF-8 or end beyond the data", () => {
    const bytes = Tensor.from(["abc", "d"], [2], "string").toBytes();
    for (const [at, value] of [[68, 0xff], [64, 4], [64, 2], [67, 0xff], [71, 9], [24, 3], [24, 1]] as const) {
      assert.throws(() => Tensor.fromBytes(bytes.with(at, value)), invalid, `${at}: ${value}`);
    }
  });

  it("refuses another magic, version, dtype, rank or shape", () => {
    const bytes = Tensor.from([1, 2, 3, 4], [2, 2], "float32").toBytes();
    for (const [at, value] of [[0, 0], [4, 0], [4, 2], [5, 0], [5, 14], [5, 17], [5, 255], [5, 11], [6, 0], [6, 1]]) {
      assert.throws(() => Tensor.fromBytes(bytes.with(at!, value!)), invalid, `${at}: ${value}`);
    }
    for (const [at, value] of [[6, 3], [6, 5], [6, 255], [24, 1], [24, 3], [32, 0], [31, 1], [39, 255]]) {
      assert.throws(() => Tensor.fromBytes(bytes.with(at!, value!)), invalid, `${at}: ${value}`);
    }
  });

  it("refuses lengths that overflow", () => {
    const lengths = [2n ** 53n - 1n, 2n ** 53n, 2n ** 62n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 32n];
    for (const at of [8, 16, 24, 32]) {
      for (const length of lengths) {
        const bytes = Tensor.from([1, 2, 3, 4], [2, 2], "float32").toBytes();
        new DataView(bytes.buffer).setBigUint64(at, length, true);
        assert.throws(() => Tensor.fromBytes(bytes), invalid);
      }
    }
    for (const dtype of ["float32", "string"] as const) {
      const bytes = Tensor.zeros(dtype, [0, 0]).toBytes(), view = new DataView(bytes.buffer);
      view.setBigUint64(24, 2n ** 32n, true);
      view.setBigUint64(32, 2n ** 32n, true); // whose product is 0 in 64 bits
      assert.throws(() => Tensor.fromBytes(bytes), invalid);
    }
  });

  it("takes bytes with flipped ones as a sound tensor or as none", () => {
    let seed = 1;
    const random = (below: number): number => (seed = (seed * 48271) % 0x7fffffff) % below;
    for (const tensor of SAMPLES) {
      const bytes = tensor.toBytes();
      for (let at = 0; at < bytes.length; at++) {
        for (let bit = 0; bit < 8; bit++) assert.ok(isRefusedOrSound(bytes.with(at, bytes[at]! ^ (1 << bit))));
      }
      for (let round = 0; round < 1000; round++) {
        const spoilt = bytes.slice();
        for (let i = random(4); i >= 0; i--) spoilt[random(Math.min(spoilt.length, 48))] = random(256);
        assert.ok(isRefusedOrSound(spoilt));
      }
    }
  });
});

describe("tensorByteLength", () => {
  it("knows the length from 24 bytes on", () => {
    for (const tensor of SAMPLES) {
      const bytes = tensor.toBytes();
      for (let length = 0; length < 24; length++) assert.equal(tensorByteLength(bytes.subarray(0, length)), undefined);
      for (const length of [24, 25, bytes.length]) {
        assert.equal(tensorByteLength(moved(bytes, 3).subarray(0, length)), bytes.length);
      }
      assert.equal(tensorByteLength(new Uint8Array([...bytes, 1, 2, 3])), bytes.length);
    }
  });

  it("refuses what no tensor begins with", () => {
    const bytes = SAMPLES[1]!.toBytes();
    for (const at of [0, 1, 2, 3, 4, 6, 8, 15, 16, 23]) {
      assert.throws(() => tensorByteLength(bytes.with(at, bytes[at]! ^ 0x80).subarray(0, 24)), invalid, String(at));
    }
    assert.throws(() => tensorByteLength(new Uint8Array(24)), invalid);
  });
});
