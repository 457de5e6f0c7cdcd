import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { ffi } from "../../ffi/mod.ts";
import { type DType, DTYPES } from "../../src/tensor/dtype.ts";
import { type AddressedStorage, heapStorage, makeTensor, storageOf } from "../../src/tensor/internal.ts";
import { type AllocatorOptions, SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";

const MIB = 1 << 20;
const outOfRange = failure("RangeError", "OUT_OF_RANGE"), disposed = failure("ReferenceError", "DISPOSED");

/** What a call that finds no memory says is needed and available. */
function overBudget(allocate: () => unknown): readonly [needed: number | undefined, available: number | undefined] {
  let found: readonly [number | undefined, number | undefined] | undefined;
  assert.throws(allocate, (error: { name: string; code: string; neededBytes?: number; availableBytes?: number }) => {
    found = [error.neededBytes, error.availableBytes];
    return error.name === "MemoryError" && error.code === "MEMORY_BUDGET";
  });
  return found!;
}

const addressOf = (tensor: Tensor): bigint => ffi.address((storageOf(tensor) as AddressedStorage).pointer);

afterEach(nothingLeft);

for (const backend of ["named", "memfd"] as const) {
  describe(`an allocator of ${backend} memory`, () => {
    it("makes tensors that are aligned to 64 bytes and do not overlap", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const tensors = Array.from({ length: 200 }, (_, i) => allocator.tensor("uint8", [1 + 37 * i]));
      tensors.forEach((tensor, i) => tensor.data.fill(i));
      for (const [i, tensor] of tensors.entries()) {
        assert.equal(addressOf(tensor) % 64n, 0n);
        assert.ok(tensor.data.every((byte) => byte === i));
      }
    });

    it("hands the same bytes out again, at once", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const places = new Set<number>();
      for (let i = 0; i < 1000; i++) {
        using tensor = allocator.tensor("float32", [1 << 16]);
        places.add(tensor.ref.byteOffset);
      }
      assert.deepEqual([places.size, allocator.metrics().arenas], [1, 1]);
    });

    it("keeps to its limit, and can use all of it again", () => {
      using allocator = new SharedMemoryAllocator({ backend, maxBytes: MIB });
      for (let round = 0; round < 3; round++) {
        using all = allocator.tensor("uint8", [MIB]);
        assert.deepEqual(overBudget(() => allocator.tensor("uint8", [1])), [64, 0]);
        assert.equal(allocator.metrics().bytesInUse, all.byteLength);
      }
      assert.deepEqual(overBudget(() => allocator.tensor("uint8", [MIB + 1])), [MIB + 64, MIB]);
      using most = allocator.tensor("uint8", [MIB - 64]);
      assert.deepEqual(overBudget(() => allocator.share(Tensor.zeros("uint8", [65]))), [128, 64]);
      assert.equal(most.data.length, MIB - 64);
    });

    it("gives a tensor beyond its arenas' size an arena of its own", () => {
      using allocator = new SharedMemoryAllocator({ backend, arenaBytes: MIB });
      using small = allocator.tensor("uint8", [10]);
      using large = allocator.tensor("uint8", [5 * MIB + 1]);
      large.data[5 * MIB] = 7;
      using same = Tensor.open(large.ref);
      assert.deepEqual([same.data[5 * MIB], small.size, allocator.metrics().arenas], [7, 10, 2]);
      assert.notEqual(small.ref.region, large.ref.region);
    });

    it("tells what it holds", () => {
      using allocator = new SharedMemoryAllocator({ backend, maxBytes: 8 * MIB, arenaBytes: MIB });
      const none = { bytesInUse: 0, tensors: 0, arenas: 0, bytesReserved: 0, largestFreeBytes: 0, fragmentation: 0 };
      const own = { label: "the allocator", maxBytes: 8 * MIB, backend, scopes: [] };
      assert.deepEqual(allocator.metrics(), { ...own, ...none });
      using _one = allocator.tensor("uint8", [1]);
      using _two = allocator.tensor("float64", [100]);
      const { bytesReserved, ...rest } = allocator.metrics();
      assert.ok(bytesReserved > MIB && bytesReserved < MIB + MIB / 8);
      const used = { bytesInUse: 896, tensors: 2, arenas: 1, largestFreeBytes: MIB - 896, fragmentation: 0 };
      assert.deepEqual(rest, { ...own, ...used });
    });

    it("is gone with all its tensors when disposed, twice as well as once", () => {
      const allocator = new SharedMemoryAllocator({ backend }), tensor = allocator.tensor("int8", [4]);
      const { data, ref } = tensor;
      for (let i = 0; i < 2; i++) allocator[Symbol.dispose]();
      assert.deepEqual([tensor.disposed, data.length, existsSync(`/dev/shm/${ref.region}`)], [true, 0, false]);
      assert.throws(() => allocator.tensor("int8", [1]), disposed);
      assert.throws(() => allocator.share(Tensor.zeros("int8", [1])), disposed);
      assert.throws(() => allocator.scope(), disposed);
      assert.deepEqual([allocator.metrics().arenas, allocator.metrics().bytesInUse], [0, 0]);
    });

    it("leaves memory that is open elsewhere", () => {
      const allocator = new SharedMemoryAllocator({ backend }), tensor = allocator.tensor("int8", [4]);
      tensor.data.fill(7);
      const open = Tensor.open(tensor.ref), { region } = open.ref;
      allocator[Symbol.dispose]();
      assert.deepEqual([[...open.data], tensor.disposed, open.disposed], [[7, 7, 7, 7], true, false]);
      using again = Tensor.open(open.ref);
      open[Symbol.dispose]();
      assert.deepEqual([...again.data], [7, 7, 7, 7]);
      again[Symbol.dispose]();
      assert.ok(!existsSync(`/dev/shm/${region}`));
    });

    it("has few descriptors for 10,000 live tensors", () => {
      using allocator = new SharedMemoryAllocator({ backend });
      const descriptors = (): number => readdirSync("/proc/self/fd").length, before = descriptors();
      const tensors = Array.from({ length: 10_000 }, (_, i) => allocator.tensor("float32", [i % 500]));
      tensors.forEach((tensor) => tensor.data.fill(1));
      const { arenas, tensors: live } = allocator.metrics();
      assert.ok(descriptors() - before <= arenas + 16, `${descriptors() - before} descriptors, ${arenas} arenas`);
      assert.deepEqual([live, arenas < 20], [10_000, true]);
    });
  });
}

describe("an allocator", () => {
  it("makes tensors of all dtypes but string, and of all shapes", () => {
    using allocator = new SharedMemoryAllocator();
    for (const dtype of DTYPES.filter((dtype) => dtype !== "string")) {
      for (const shape of [[], [0], [2, 3]]) {
        using tensor = allocator.tensor(dtype, shape);
        assert.deepEqual([tensor.dtype, tensor.shape, tensor.data.length], [dtype, shape, tensor.size]);
      }
    }
    const badDType = failure("TypeError", "INVALID_DTYPE");
    for (const dtype of ["string", "float", "__proto__", null]) {
      assert.throws(() => allocator.tensor(dtype as DType, [1]), badDType, String(dtype));
    }
    assert.throws(() => allocator.tensor("int8", [-1]), failure("RangeError", "INVALID_SHAPE"));
    assert.throws(() => allocator.tensor("int8", [2 ** 40, 2 ** 40]), failure("RangeError", "INVALID_SHAPE"));
    assert.throws(() => allocator.tensor("int8", 3 as never), failure("TypeError", "INVALID_SHAPE"));
    assert.equal(allocator.metrics().tensors, 0);
  });

  it("refuses more than the machine has, and goes on", () => {
    using allocator = new SharedMemoryAllocator();
    const outOfMemory = failure("MemoryError", "OUT_OF_MEMORY");
    for (const bytes of [2 ** 45, 2 ** 52]) assert.throws(() => allocator.tensor("uint8", [bytes]), outOfMemory);
    using tensor = allocator.tensor("uint8", [1]);
    assert.equal(tensor.size, 1);
  });

  it("takes what arenas it can where those it should take are too large", () => {
    for (const arenaBytes of [2 ** 45, 2 ** 52, Infinity]) {
      using allocator = new SharedMemoryAllocator({ arenaBytes });
      using tensor = allocator.tensor("uint8", [1]);
      assert.equal(tensor.size, 1);
    }
  });

  it("refuses options that are none", () => {
    for (const bytes of [0, 63, -1, NaN, 100.5, -Infinity, "100", null]) {
      assert.throws(() => new SharedMemoryAllocator({ maxBytes: bytes as number }), outOfRange, String(bytes));
      assert.throws(() => new SharedMemoryAllocator({ arenaBytes: bytes as number }), outOfRange, String(bytes));
    }
    assert.throws(() => new SharedMemoryAllocator({ arenaBytes: 4095 }), outOfRange);
    for (const backend of ["posix", "", null, 3]) {
      const options = { backend } as AllocatorOptions;
      assert.throws(() => new SharedMemoryAllocator(options), failure("TypeError", "INVALID_ARGUMENT"));
    }
  });

  it("reports how its free memory is cut up, and joins it again", () => {
    using allocator = new SharedMemoryAllocator({ maxBytes: MIB });
    const tensors = Array.from({ length: 16 }, () => allocator.tensor("uint8", [MIB / 16]));
    for (let i = 0; i < 16; i += 2) tensors[i]![Symbol.dispose]();
    const { fragmentation, largestFreeBytes, bytesInUse } = allocator.metrics();
    assert.deepEqual([fragmentation, largestFreeBytes, bytesInUse], [7 / 8, MIB / 16, MIB / 2]);
    assert.deepEqual(overBudget(() => allocator.tensor("uint8", [MIB / 8])), [MIB / 8, MIB / 16]);
    for (const tensor of tensors) tensor[Symbol.dispose]();
    assert.deepEqual([allocator.metrics().fragmentation, allocator.metrics().largestFreeBytes], [0, MIB]);
    using all = allocator.tensor("uint8", [MIB]);
    assert.equal(all.size, MIB);
  });

  it("counts memory that others still hold until they let it go", () => {
    using allocator = new SharedMemoryAllocator({ maxBytes: MIB });
    const tensor = allocator.tensor("uint8", [MIB]), open = Tensor.open(tensor.ref);
    tensor[Symbol.dispose]();
    assert.deepEqual(overBudget(() => allocator.tensor("uint8", [1])), [64, 0]);
    open[Symbol.dispose]();
    using next = allocator.tensor("uint8", [MIB]);
    assert.equal(next.size, MIB);
  });

  it("gives back at once what nobody holds, though a part is open here", () => {
    const allocator = new SharedMemoryAllocator(), large = allocator.tensor("uint8", [8 * MIB]);
    large.data.fill(1);
    const open = Tensor.open(allocator.share(Tensor.from([7], [1], "int8")).ref), path = `/dev/shm/${open.ref.region}`;
    allocator[Symbol.dispose]();
    const held = 512 * statSync(path).blocks;
    assert.deepEqual([...open.data], [7]);
    open[Symbol.dispose]();
    assert.ok(held < 2 * MIB && !existsSync(path), `${held} bytes held`);
  });

  it("by default is one, until it is disposed", () => {
    const first = SharedMemoryAllocator.default;
    assert.equal(SharedMemoryAllocator.default, first);
    first[Symbol.dispose]();
    using next = SharedMemoryAllocator.default;
    assert.notEqual(next, first);
    assert.equal(next.tensor("int8", [2]).size, 2);
  });
});

describe("share", () => {
  it("copies heap, native, shared and strided tensors in row-major order", () => {
    using allocator = new SharedMemoryAllocator();
    using native = Tensor.zeros("int16", [2, 3], { storage: "native" });
    native.data.set([0, 1, 2, 3, 4, 5]);
    using shared = allocator.share(native);
    const heap = Tensor.from(new Int16Array([9, 0, 1, 2, 3, 4, 5]).subarray(1), [2, 3]);
    const storage = heapStorage(new Int16Array([0, 3, 1, 4, 2, 5]));
    const strided = makeTensor("int16", Object.freeze([2, 3]), storage, { strides: Object.freeze([1, 2]) });
    for (const tensor of [native, shared, heap, strided]) {
      using copy = allocator.share(tensor);
      copy.data[0] = 0;
      assert.deepEqual([copy.dtype, copy.shape, copy.strides, copy.storage], ["int16", [2, 3], [3, 1], "shared"]);
      assert.deepEqual([...copy.data], [0, 1, 2, 3, 4, 5]);
      copy.data[0] = 9;
      assert.equal(tensor.contiguous().data[0], 0);
    }
  });

  it("copies scalars, nothing, and what was opened", () => {
    using allocator = new SharedMemoryAllocator();
    using scalar = allocator.share(Tensor.from([5n], [], "int64"));
    using none = allocator.share(Tensor.zeros("float32", [3, 0]));
    using open = Tensor.open(scalar.ref, { readOnly: true });
    using copy = allocator.share(open);
    assert.deepEqual([[...scalar.data], none.shape, [...copy.data], copy.readOnly], [[5n], [3, 0], [5n], false]);
  });

  it("refuses strings, what is gone, and what is no tensor", () => {
    using allocator = new SharedMemoryAllocator();
    const array = new Float32Array(4), detached = Tensor.from(array), gone = allocator.tensor("int8", [1]);
    structuredClone(array.buffer, { transfer: [array.buffer] });
    gone[Symbol.dispose]();
    const strings = Tensor.from(["a"], [1], "string");
    assert.throws(() => allocator.share(strings), failure("TypeError", "INVALID_DTYPE"));
    assert.throws(() => allocator.share(detached), failure("TypeError", "TENSOR_DETACHED"));
    assert.throws(() => allocator.share(gone), disposed);
    for (const given of [null, undefined, 3, new Float32Array(2)]) {
      assert.throws(() => allocator.share(given as never), failure("TypeError", "INVALID_ARGUMENT"));
    }
    assert.equal(allocator.metrics().tensors, 0);
  });
});
