import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { sweepSharedMemory } from "../../src/memory/regions.ts";
import { pinRead, pinWrite, unpinRead, unpinWrite } from "../../src/tensor/internal.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";

const stale = failure("ReferenceError", "STALE_REFERENCE"), busy = failure("TypeError", "TENSOR_BUSY");

/** A shared tensor of the same number throughout. */
function filled(allocator: SharedMemoryAllocator, value: number, size = 4): Tensor<"float32"> {
  const tensor = allocator.tensor("float32", [size]);
  tensor.data.fill(value);
  return tensor;
}

afterEach(nothingLeft);

for (const backend of ["named", "memfd"] as const) {
  describe(`handOff of a ${backend} tensor`, () => {
    it("disposes of the tensor and keeps its memory", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const tensor = filled(allocator, 7), { data, ref: own } = tensor, ref = tensor.handOff();
      assert.deepEqual({ ...ref, generation: ref.generation - 2 ** 52 }, own); // which says that it was handed off
      assert.deepEqual([tensor.disposed, data.length], [true, 0]);
      assert.throws(() => tensor.data, failure("ReferenceError", "DISPOSED"));
      assert.deepEqual([allocator.metrics().tensors, allocator.metrics().bytesInUse], [1, 64]);
      using other = filled(allocator, 8);
      assert.notEqual(other.ref.byteOffset, ref.byteOffset);
      using adopted = Tensor.open(ref);
      assert.deepEqual([...adopted.data], [7, 7, 7, 7]);
    });

    it("gives the memory to whoever opens it first, and it ends with the last", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const ref = filled(allocator, 7).handOff(), first = Tensor.open(ref), second = Tensor.open(ref);
      first[Symbol.dispose]();
      assert.deepEqual([...second.data], [7, 7, 7, 7]);
      second[Symbol.dispose]();
      assert.throws(() => Tensor.open(ref), stale);
      assert.equal(allocator.metrics().tensors, 0);
    });

    it("can be done again by who adopted it", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const ref = filled(allocator, 0).handOff();
      for (let i = 1; i <= 10; i++) {
        const adopted = Tensor.open(ref).as("float32");
        assert.equal(adopted.data[0], i - 1);
        adopted.data[0] = i;
        assert.deepEqual(adopted.handOff(), ref);
      }
      assert.equal(allocator.metrics().tensors, 1);
      Tensor.open(ref)[Symbol.dispose]();
      assert.equal(allocator.metrics().tensors, 0);
    });

    it("leaves those alone who hold the memory too", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const tensor = filled(allocator, 7);
      using other = Tensor.open(tensor.ref);
      const ref = tensor.handOff({ ttlMs: 0 });
      sweepSharedMemory();
      assert.deepEqual([...other.data], [7, 7, 7, 7]);
      using late = Tensor.open(ref); // which somebody held all the time
      assert.deepEqual([...late.data], [7, 7, 7, 7]);
    });

    it("ends with a sweep once its time is over", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const over = filled(allocator, 7).handOff({ ttlMs: 0 }), on = filled(allocator, 8).handOff({ ttlMs: 60_000 });
      const { count, bytes } = sweepSharedMemory();
      assert.ok(count >= 1 && bytes >= 64);
      assert.throws(() => Tensor.open(over), stale);
      assert.equal(allocator.metrics().tensors, 1);
      using adopted = Tensor.open(on);
      assert.deepEqual([...adopted.data], [8, 8, 8, 8]);
    });

    it("ends without a sweep where the memory is needed", () => {
      using allocator = new SharedMemoryAllocator({ backend, maxBytes: 1 << 16 });
      const ref = filled(allocator, 7, 1 << 14).handOff({ ttlMs: 0 });
      using next = filled(allocator, 8, 1 << 14);
      assert.throws(() => Tensor.open(ref), stale);
      assert.equal(next.data[0], 8);
    });

    it("outlives its allocator", () => {
      const allocator = new SharedMemoryAllocator({ backend }), tensor = filled(allocator, 7), ref = tensor.handOff();
      allocator[Symbol.dispose]();
      const adopted = Tensor.open(ref);
      assert.deepEqual([...adopted.data], [7, 7, 7, 7]);
      adopted[Symbol.dispose]();
      sweepSharedMemory();
      assert.throws(() => Tensor.open(ref), stale);
      if (backend === "named") assert.ok(!existsSync(`/dev/shm/${ref.region}`));
    });

    it("outlives its allocator no longer than its time", () => {
      const allocator = new SharedMemoryAllocator({ backend }), ref = filled(allocator, 7).handOff({ ttlMs: 0 });
      const on = filled(allocator, 8).handOff({ ttlMs: 60_000 });
      allocator[Symbol.dispose]();
      sweepSharedMemory();
      using adopted = Tensor.open(on);
      assert.deepEqual([...adopted.data], [8, 8, 8, 8]);
      assert.throws(() => Tensor.open(ref), stale);
    });
  });
}

describe("handOff", () => {
  it("takes a time from 0 up", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = filled(allocator, 7);
    for (const ttlMs of [-1, -0.5, NaN, Infinity, -Infinity, "5", 5n]) {
      const options = { ttlMs: ttlMs as number };
      assert.throws(() => tensor.handOff(options), failure("RangeError", "OUT_OF_RANGE"), String(ttlMs));
    }
    assert.deepEqual([...tensor.data], [7, 7, 7, 7]);
    const ref = tensor.handOff({ ttlMs: 0.5 });
    using adopted = Tensor.open(ref);
    assert.equal(adopted.size, 4);
  });

  for (const ttlMs of [2 ** 53, 2 ** 63, 2 ** 64, Number.MAX_VALUE]) {
    it(`for ${ttlMs} ms is not over at once`, () => {
      using allocator = new SharedMemoryAllocator();
      const ref = filled(allocator, 7).handOff({ ttlMs });
      sweepSharedMemory();
      using adopted = Tensor.open(ref);
      assert.deepEqual([...adopted.data], [7, 7, 7, 7]);
    });
  }

  it("is refused while a run uses the tensor", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = filled(allocator, 7);
    pinRead(tensor);
    assert.throws(() => tensor.handOff(), busy);
    unpinRead(tensor);
    pinWrite(tensor);
    assert.throws(() => tensor.handOff(), busy);
    unpinWrite(tensor);
    assert.deepEqual([...tensor.data], [7, 7, 7, 7]);
    sweepSharedMemory();
    assert.equal(allocator.metrics().tensors, 1);
  });

  it("is of shared tensors only, and once", () => {
    using allocator = new SharedMemoryAllocator();
    using native = Tensor.zeros("float32", [2], { storage: "native" });
    assert.throws(() => native.handOff(), failure("TypeError", "NOT_SHARED"));
    assert.throws(() => Tensor.from([1], [1], "int8").handOff(), failure("TypeError", "NOT_SHARED"));
    const tensor = filled(allocator, 7), ref = tensor.handOff();
    assert.throws(() => tensor.handOff(), failure("ReferenceError", "DISPOSED"));
    Tensor.open(ref)[Symbol.dispose]();
  });

  it("keeps shape and strides", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.tensor("int8", [6]);
    tensor.data.set([0, 1, 2, 3, 4, 5]);
    const ref = Tensor.open({ ...tensor.ref, shape: [2, 3], strides: [1, 2] }).handOff();
    using adopted = Tensor.open(JSON.stringify(ref));
    assert.deepEqual([adopted.shape, adopted.strides], [[2, 3], [1, 2]]);
    assert.deepEqual([...adopted.contiguous().data], [0, 2, 4, 1, 3, 5]);
  });

  it("works for what is read only here", () => {
    using allocator = new SharedMemoryAllocator();
    const tensor = filled(allocator, 7), read = Tensor.open(tensor.ref, { readOnly: true });
    tensor[Symbol.dispose]();
    using adopted = Tensor.open(read.handOff());
    assert.deepEqual([...adopted.data], [7, 7, 7, 7]);
  });

  it("is not undone by a wrong reference to the same memory", () => {
    using allocator = new SharedMemoryAllocator();
    const ref = filled(allocator, 7).handOff();
    const beyond = { ...ref, byteOffset: ref.byteOffset + 4096 };
    assert.throws(() => Tensor.open(beyond), failure("RangeError", "OUT_OF_RANGE"));
    assert.throws(() => Tensor.open({ ...ref, generation: ref.generation + 1 }), stale);
    using adopted = Tensor.open(ref);
    assert.deepEqual([...adopted.data], [7, 7, 7, 7]);
  });
});
