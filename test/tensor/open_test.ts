import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { DTYPES } from "../../src/tensor/dtype.ts";
import { storageOf } from "../../src/tensor/internal.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import type { TensorRef } from "../../src/tensor/tensor_ref.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";

const stale = failure("ReferenceError", "STALE_REFERENCE");

/** A shared tensor of 0, 1, 2, ... */
function counting(allocator: SharedMemoryAllocator, size: number): Tensor<"float32"> {
  const tensor = allocator.tensor("float32", [size]);
  tensor.data.set(Float32Array.from({ length: size }, (_, i) => i));
  return tensor;
}

afterEach(nothingLeft);

for (const backend of ["named", "memfd"] as const) {
  describe(`Tensor.open of a ${backend} tensor`, () => {
    it("shares memory both ways, without being the same array", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      using tensor = counting(allocator, 4);
      using open = Tensor.open(tensor.ref).as("float32");
      assert.deepEqual([...open.data], [0, 1, 2, 3]);
      open.data[0] = 7;
      tensor.data[1] = 8;
      assert.deepEqual([[...open.data], [...tensor.data]], [[7, 8, 2, 3], [7, 8, 2, 3]]);
      assert.notEqual(open.data.buffer, tensor.data.buffer);
      assert.deepEqual([open.storage, open.readOnly, open.disposed], ["shared", false, false]);
    });

    it("keeps the memory until the last of many lets go", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const tensor = counting(allocator, 100), { ref } = tensor;
      const open = Array.from({ length: 50 }, () => Tensor.open(ref).as("float32"));
      tensor[Symbol.dispose]();
      for (const [i, one] of open.entries()) {
        assert.equal(one.data[99], 99);
        assert.equal(allocator.metrics().bytesInUse, 448);
        if (i % 2) assert.deepEqual(one.ref, ref);
        one[Symbol.dispose]();
      }
      assert.deepEqual([allocator.metrics().bytesInUse, allocator.metrics().tensors], [0, 0]);
      assert.throws(() => Tensor.open(ref), stale);
    });

    it("refuses memory that is in other use by now", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const first = counting(allocator, 4), { ref } = first;
      first[Symbol.dispose]();
      using second = allocator.tensor("float32", [4]);
      assert.equal(second.ref.byteOffset, ref.byteOffset);
      assert.throws(() => Tensor.open(ref), stale);
      assert.throws(() => Tensor.open({ ...second.ref, generation: second.ref.generation + 1 }), stale);
      assert.throws(() => Tensor.open({ ...second.ref, generation: second.ref.generation % 2 ** 32 - 1 }), stale);
      assert.equal(allocator.metrics().tensors, 1);
    });

    it("refuses a region that is gone", () => {
      const allocator = new SharedMemoryAllocator({ backend }), { ref } = counting(allocator, 4);
      allocator[Symbol.dispose]();
      assert.throws(() => Tensor.open(ref), stale);
    });

    it("opens parts of a tensor", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      using tensor = counting(allocator, 8);
      const { ref } = tensor;
      using tail = Tensor.open({ ...ref, byteOffset: ref.byteOffset + 20, byteLength: 12, shape: [3] });
      using bytes = Tensor.open({ ...ref, byteOffset: ref.byteOffset + 6, byteLength: 2, shape: [2], dtype: "uint8" });
      using none = Tensor.open({ ...ref, byteOffset: ref.byteOffset + 32, byteLength: 0, shape: [0, 5] });
      assert.deepEqual([[...tail.data], [...bytes.data], [...none.data]], [[5, 6, 7], [0x80, 0x3f], []]);
      assert.equal(tail.as("float32").data.buffer.byteLength, 12);
      using again = Tensor.open(tail.ref);
      again.as("float32").data[0] = -1;
      assert.equal(tensor.data[5], -1);
    });
  });
}

describe("Tensor.open", () => {
  it("opens tensors of all dtypes", () => {
    using allocator = new SharedMemoryAllocator();
    for (const dtype of DTYPES.filter((dtype) => dtype !== "string")) {
      using tensor = allocator.tensor(dtype, [3]);
      const bytes = new Uint8Array(tensor.data.buffer).map((_, i) => i % 2);
      new Uint8Array(tensor.data.buffer).set(bytes);
      using open = Tensor.open(tensor.ref).as(dtype);
      assert.deepEqual(new Uint8Array(open.data.buffer), bytes);
      assert.equal(Object.getPrototypeOf(open.data), Object.getPrototypeOf(tensor.data));
    }
  });

  it("is undone by dispose, twice as well as once", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = counting(allocator, 4);
    const open = Tensor.open(tensor.ref), { data } = open;
    for (let i = 0; i < 2; i++) open[Symbol.dispose]();
    assert.deepEqual([data.length, tensor.data.length, open.disposed], [0, 4, true]);
    assert.throws(() => open.data, failure("ReferenceError", "DISPOSED"));
    using other = Tensor.open(tensor.ref);
    assert.equal(other.data[3], 3);
  });
});

describe("Tensor.open for reading only", () => {
  it("sees what others write until it writes itself, which nobody sees", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = counting(allocator, 4);
    using read = Tensor.open(tensor.ref, { readOnly: true }).as("float32");
    using other = Tensor.open(tensor.ref, { readOnly: true }).as("float32");
    assert.ok(read.readOnly && !tensor.readOnly);
    tensor.data[0] = 5;
    assert.deepEqual([...read.data], [5, 1, 2, 3]);
    read.data.fill(-1);
    assert.deepEqual([[...tensor.data], [...other.data]], [[5, 1, 2, 3], [5, 1, 2, 3]]);
  });

  it("leaves no trace of its writes for a later tensor at the same place", () => {
    using allocator = new SharedMemoryAllocator();
    const first = counting(allocator, 4), { ref } = first;
    const read = Tensor.open(ref, { readOnly: true }).as("float32");
    read.data.fill(-1);
    first[Symbol.dispose]();
    read[Symbol.dispose]();
    using second = allocator.tensor("float32", [4]);
    assert.equal(second.ref.byteOffset, ref.byteOffset);
    using later = Tensor.open(second.ref, { readOnly: true });
    assert.deepEqual([[...second.data], [...later.data]], [[0, 1, 2, 3], [0, 1, 2, 3]]);
  });

  it("keeps the memory like any other, and empties its view", () => {
    using allocator = new SharedMemoryAllocator();
    const tensor = counting(allocator, 5000), read = Tensor.open(tensor.ref, { readOnly: true }), { data } = read;
    tensor[Symbol.dispose]();
    assert.deepEqual([data[4999], allocator.metrics().tensors], [4999, 1]);
    read[Symbol.dispose]();
    assert.deepEqual([data.length, allocator.metrics().tensors], [0, 0]);
  });

  it("works for parts at any place and for nothing at all", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = counting(allocator, 4096);
    const { ref } = tensor;
    for (const from of [0, 1, 1023, 1024, 4095]) {
      const part = { ...ref, byteOffset: ref.byteOffset + 4 * from, byteLength: 4, shape: [] };
      using read = Tensor.open(part, { readOnly: true });
      assert.deepEqual([...read.data], [from]);
    }
    using none = Tensor.open({ ...ref, byteLength: 0, shape: [0] }, { readOnly: true });
    assert.equal(none.data.length, 0);
  });
});

describe("Tensor.open of a layout that is not row-major", () => {
  /** Opens 0, 1, ... 11 as this, and shows it in row-major order. */
  function rows(layout: Pick<TensorRef, "shape" | "strides">, byteLength = 48): unknown[] {
    using allocator = new SharedMemoryAllocator();
    using tensor = counting(allocator, 12);
    using open = Tensor.open({ ...tensor.ref, ...layout, byteLength });
    assert.deepEqual([open.shape, open.strides, open.ref.strides], [layout.shape, layout.strides, layout.strides]);
    assert.throws(() => open.data, failure("TypeError", "INVALID_LAYOUT", /contiguous/));
    assert.throws(() => open.view(0, 1), failure("TypeError", "INVALID_LAYOUT"));
    const copy = open.contiguous();
    assert.deepEqual([copy.storage, copy.shape, copy.size], ["heap", layout.shape, open.size]);
    return [...copy.data];
  }

  it("keeps its strides, and copies in row-major order", () => {
    assert.deepEqual(rows({ shape: [3, 4], strides: [1, 3] }), [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
    assert.deepEqual(rows({ shape: [2, 3, 2], strides: [1, 2, 6] }), [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]);
    assert.deepEqual(rows({ shape: [3], strides: [4] }), [0, 4, 8]);
    assert.deepEqual(rows({ shape: [2, 2], strides: [6, 1] }), [0, 1, 6, 7]);
  });

  it("repeats what has a stride of 0, and what overlaps", () => {
    assert.deepEqual(rows({ shape: [2, 3], strides: [0, 1] }, 12), [0, 1, 2, 0, 1, 2]);
    assert.deepEqual(rows({ shape: [4], strides: [0] }, 4), [0, 0, 0, 0]);
    assert.deepEqual(rows({ shape: [3, 2], strides: [1, 1] }, 16), [0, 1, 1, 2, 2, 3]);
  });

  it("is of whole elements", () => {
    assert.throws(() => rows({ shape: [2], strides: [2] }, 14), failure("RangeError", "OUT_OF_RANGE"));
  });

  it("takes dimensions of 1, and of 0, as row-major whatever their strides", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = counting(allocator, 3);
    for (const strides of [[99, 1, 5], [0, 1, 0], [3, 1, 1]]) {
      using open = Tensor.open({ ...tensor.ref, shape: [1, 3, 1], strides });
      assert.deepEqual([...open.data], [0, 1, 2]);
      assert.deepEqual([open.strides, "strides" in open.ref, open.contiguous() === open], [[3, 1, 1], false, true]);
    }
    using none = Tensor.open({ ...tensor.ref, byteLength: 0, shape: [2, 0], strides: [7, 9] });
    assert.equal(none.data.length, 0);
  });

  it("copies all dtypes, to the bit", () => {
    using allocator = new SharedMemoryAllocator();
    for (const dtype of DTYPES.filter((dtype) => dtype !== "string")) {
      using tensor = allocator.tensor(dtype, [4]);
      const bytes = new Uint8Array(tensor.data.buffer), width = bytes.length / 4;
      bytes.forEach((_, i) => bytes[i] = dtype === "bool" ? i % 2 : 0x41 + i);
      if (dtype === "float32") new Uint32Array(bytes.buffer).set([0x7fa00001, 0, 0xffa12345, 0]); // NaNs that signal
      using open = Tensor.open({ ...tensor.ref, shape: [2], strides: [2] }).as(dtype);
      const expected = [...bytes.subarray(0, width), ...bytes.subarray(2 * width, 3 * width)];
      const { data } = open.contiguous();
      assert.deepEqual([...new Uint8Array(data.buffer)], expected, dtype);
    }
  });

  it("is an error with a code where its copy is too large", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = counting(allocator, 1);
    using open = Tensor.open({ ...tensor.ref, shape: [2 ** 40], strides: [0] });
    const outOfMemory = failure("MemoryError", "OUT_OF_MEMORY");
    assert.throws(() => open.contiguous(), outOfMemory);
    assert.throws(() => open.toBytes(), outOfMemory);
    assert.throws(() => allocator.share(open), outOfMemory);
  });

  it("is busy while a run writes it", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = counting(allocator, 3);
    using open = Tensor.open({ ...tensor.ref, shape: [2], strides: [2] });
    const storage = storageOf(open);
    storage.pinWrite();
    assert.throws(() => open.contiguous(), failure("TypeError", "TENSOR_BUSY"));
    storage.unpinWrite();
    assert.deepEqual([...open.contiguous().data], [0, 2]);
  });
});
