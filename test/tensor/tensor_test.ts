import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, it } from "node:test";
import type { DType } from "../../src/tensor/dtype.ts";
import { heapStorage, isTensor, makeTensor } from "../../src/tensor/internal.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

const transposed = (): Tensor<"int32"> =>
  makeTensor("int32", Object.freeze([3, 2]), heapStorage(new Int32Array([1, 2, 3, 4, 5, 6])), {
    strides: Object.freeze([1, 3]),
  });

describe("Tensor.from", () => {
  it("shares memory with the array it was made from", () => {
    const array = new Float32Array(6), tensor: Tensor<"float32"> = Tensor.from(array, [2, 3]);
    array[4] = 7;
    assert.equal(tensor.data[4], 7);
    tensor.data[0] = 3;
    assert.equal(array[0], 3);
    assert.equal(tensor.data, array);
  });

  it("borrows a part of a buffer as it is", () => {
    const whole = new Int16Array([1, 2, 3, 4]), tensor = Tensor.from(whole.subarray(1, 3));
    assert.deepEqual(tensor.shape, [2]);
    whole[1] = 9;
    assert.deepEqual([...tensor.data], [9, 3]);
  });

  it("describes itself", () => {
    const tensor = Tensor.from(new BigInt64Array(6), [2, 3]);
    assert.deepEqual([tensor.dtype, tensor.storage, tensor.size, tensor.byteLength], ["int64", "heap", 6, 48]);
    assert.deepEqual([tensor.shape, tensor.strides], [[2, 3], [3, 1]]);
    assert.deepEqual([tensor.readOnly, tensor.disposed], [false, false]);
    assert.equal(`${tensor}`, "Tensor(int64, [2, 3], heap)");
    assert.equal(inspect(tensor), `${tensor}`);
  });

  it("makes scalars", () => {
    const rate = Tensor.from([16000], [], "int64");
    assert.deepEqual([rate.size, rate.shape, rate.strides, rate.data[0]], [1, [], [], 16000n]);
  });

  it("makes empty tensors", () => {
    const tensor = Tensor.from(new Float32Array(0), [2, 0, 3]);
    assert.deepEqual([tensor.size, tensor.byteLength, tensor.data.length], [0, 0, 0]);
    assert.equal(tensor.view(0, 0).length, 0);
    assert.equal(Tensor.from([], [0], "string").size, 0);
  });

  it("takes the bits of a Uint16Array as float16 or bfloat16, and of a Uint8Array as bool", () => {
    const bits = new Uint16Array([0x3c00]), half = Tensor.from(bits, [1], "float16");
    assert.equal(half.data[0], 1);
    half.data[0] = 2;
    assert.equal(bits[0], 0x4000);
    assert.equal(Tensor.from(bits, [1], "bfloat16").data, bits);
    assert.equal(Tensor.from(bits).dtype, "uint16");
    const flags = new Uint8Array([1]);
    assert.equal(Tensor.from(flags, [1], "bool").data, flags);
  });

  it("converts a typed array of another dtype, by copying", () => {
    const array = new Float32Array([1, 2]), tensor = Tensor.from(array, [2], "int64");
    array[0] = 5;
    assert.deepEqual(tensor.data, new BigInt64Array([1n, 2n]));
    assert.deepEqual(Tensor.from(new Float32Array([1]), [1], "bfloat16").data, new Uint16Array([0x3f80]));
  });

  it("copies the shape and shows it frozen", () => {
    const shape = [2], tensor = Tensor.from(new Int8Array(2), shape);
    shape[0] = 1e9;
    assert.deepEqual(tensor.shape, [2]);
    assert.throws(() => (tensor.shape as number[])[0] = 1e9, TypeError);
    assert.throws(() => (tensor.strides as number[])[0] = 1e9, TypeError);
    assert.equal(tensor.shape, tensor.shape);
  });

  it("refuses a shape that does not hold the values", () => {
    assert.throws(() => Tensor.from(new Float32Array(5), [2, 3]), {
      name: "RangeError",
      code: "INVALID_LENGTH",
      message: "Cannot make a tensor of shape [2, 3]: 6 elements wanted, 5 found",
    });
    assert.throws(() => Tensor.from(["a"], [2], "string"), { code: "INVALID_LENGTH" });
  });

  it("refuses a shape that is none", () => {
    const from = (shape: unknown) => () => Tensor.from(new Float32Array(1), shape as number[]);
    assert.throws(from([-1]), { name: "RangeError", code: "INVALID_SHAPE" });
    assert.throws(from([0.5]), { name: "RangeError", code: "INVALID_SHAPE" });
    assert.throws(from([NaN]), { name: "RangeError", code: "INVALID_SHAPE" });
    assert.throws(from([2 ** 40, 2 ** 40]), { name: "RangeError", code: "INVALID_SHAPE" });
    assert.throws(from(1), { name: "TypeError", code: "INVALID_SHAPE" });
  });

  it("refuses data that is none", () => {
    for (const data of [null, undefined, 5, "abc", {}, new ArrayBuffer(4), new DataView(new ArrayBuffer(4))]) {
      const from = (dtype?: DType) => () => Tensor.from(data as never, [1], dtype as "int8");
      assert.throws(from(), { name: "TypeError", code: "INVALID_ARGUMENT" });
      assert.throws(from("int8"), { name: "TypeError", code: "INVALID_ARGUMENT" });
    }
    assert.throws(() => Tensor.from([1] as never), { name: "TypeError", code: "INVALID_DTYPE" });
  });

  it("refuses a dtype that is none", () => {
    for (const dtype of ["float", "__proto__", "toString", 5, null]) {
      assert.throws(() => Tensor.from([1], [1], dtype as "int8"), { name: "TypeError", code: "INVALID_DTYPE" });
      assert.throws(() => Tensor.zeros(dtype as "int8", [1]), { name: "TypeError", code: "INVALID_DTYPE" });
    }
  });
});

describe("Tensor.zeros", () => {
  it("refuses what cannot be had", () => {
    assert.throws(() => Tensor.zeros("float32", [2 ** 50]), { name: "MemoryError", code: "OUT_OF_MEMORY" });
    assert.throws(() => Tensor.zeros("uint8", [2 ** 50], { storage: "native" }), {
      name: "MemoryError",
      code: "OUT_OF_MEMORY",
      neededBytes: 2 ** 50,
    });
    assert.throws(() => Tensor.zeros("string", [1], { storage: "native" }), { code: "INVALID_DTYPE" });
    assert.throws(() => Tensor.zeros("int8", [1], { storage: "disk" as "heap" }), { code: "INVALID_ARGUMENT" });
    assert.throws(() => Tensor.zeros("int8", [-1]), { code: "INVALID_SHAPE" });
  });
});

describe("Tensor.as", () => {
  it("is the tensor itself", () => {
    const tensor: Tensor = Tensor.from(new Float32Array(1));
    const known: Tensor<"float32"> = tensor.as("float32");
    assert.equal(known, tensor);
  });

  it("refuses another dtype", () => {
    assert.throws(() => Tensor.from(new BigInt64Array(1)).as("float32"), {
      name: "TypeError",
      code: "INVALID_DTYPE",
      message: "Cannot view tensor as float32: its dtype is int64",
    });
  });
});

describe("Tensor.view", () => {
  for (const storage of ["heap", "native"] as const) {
    it(`is a window of a ${storage} tensor's memory`, () => {
      using tensor = Tensor.zeros("int32", [4, 4], { storage });
      const window = tensor.view(5, 3);
      window[0] = 42;
      assert.equal(tensor.data[5], 42);
      assert.equal(window.length, 3);
    });

    it(`refuses to leave a ${storage} tensor`, () => {
      using tensor = Tensor.zeros("int32", [4, 4], { storage });
      for (const [start, length] of [[0, 17], [17, 0], [-1, 2], [0.5, 1], [0, NaN], [0, -1], [2 ** 53, 1]] as const) {
        assert.throws(() => tensor.view(start, length), { name: "RangeError", code: "OUT_OF_RANGE" });
      }
      assert.equal(tensor.view(16, 0).length, 0);
    });
  }

  it("copies strings", () => {
    const tensor = Tensor.from(["a", "b", "c"], [3], "string");
    assert.deepEqual(tensor.view(1, 2), ["b", "c"]);
  });
});

describe("a tensor that is not row-major", () => {
  it("has no data and no view", () => {
    assert.throws(() => transposed().data, { name: "TypeError", code: "INVALID_LAYOUT" });
    assert.throws(() => transposed().view(0, 1), { name: "TypeError", code: "INVALID_LAYOUT" });
    assert.deepEqual(transposed().strides, [1, 3]);
  });

  it("is copied by contiguous", () => {
    const copy = transposed().contiguous();
    assert.deepEqual([copy.shape, copy.strides, copy.dtype], [[3, 2], [2, 1], "int32"]);
    assert.deepEqual([...copy.data], [1, 4, 2, 5, 3, 6]);
  });

  it("is itself when it is row-major after all", () => {
    const tensor = Tensor.from(new Int32Array(2));
    assert.equal(tensor.contiguous(), tensor);
  });
});

describe("a heap tensor that was disposed", () => {
  it("refuses its data and leaves the array as it was", () => {
    const array = new Float32Array([1]), tensor = Tensor.from(array);
    tensor[Symbol.dispose]();
    tensor[Symbol.dispose]();
    assert.ok(tensor.disposed);
    assert.equal(`${tensor}`, "Tensor(float32, [1], disposed)");
    const expected = { name: "ReferenceError", code: "DISPOSED" };
    assert.throws(() => tensor.data, expected);
    assert.throws(() => tensor.view(0, 1), expected);
    assert.throws(() => tensor.contiguous(), expected);
    assert.deepEqual([...array], [1]);
  });
});

describe("isTensor", () => {
  it("knows tensors alone", () => {
    assert.ok(isTensor(Tensor.from(new Int8Array(1))));
    for (const other of [null, undefined, 1, {}, Object.create(Tensor.prototype)]) assert.ok(!isTensor(other));
  });
});
