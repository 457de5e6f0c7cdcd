import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { readManagedTensor } from "../../ffi/dlpack.ts";
import { ffi } from "../../ffi/mod.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { ensureThreads } from "../../ffi/process/pool.ts";
import { liveHandles } from "../../src/handle.ts";
import { DLPackTensor, fromDLPack, toDLPack } from "../../src/tensor/dlpack.ts";
import type { DType, NumericDType } from "../../src/tensor/dtype.ts";
import { heapStorage, makeTensor } from "../../src/tensor/internal.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { runChild } from "../support/child.ts";
import { collectUntil } from "../support/gc.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";

/** What dlpack.h calls each dtype: type code and bits. */
const TYPES: Readonly<Record<NumericDType, readonly [code: number, bits: number]>> = {
  float16: [2, 16],
  float32: [2, 32],
  float64: [2, 64],
  bfloat16: [4, 16],
  int8: [0, 8],
  int16: [0, 16],
  int32: [0, 32],
  int64: [0, 64],
  uint8: [1, 8],
  uint16: [1, 16],
  uint32: [1, 32],
  uint64: [1, 64],
  bool: [6, 8],
};
const native = <D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> =>
  Tensor.zeros(dtype, shape, { storage: "native" });
const view = (address: bigint, byteLength: number): DataView =>
  new DataView(ffi.view(ffi.pointer(address)!, byteLength));

/** Calls a struct's deleter on another thread, as a library of threads would. */
async function giveBackElsewhere(address: bigint, versioned: boolean): Promise<void> {
  const { deleter } = readManagedTensor(ffi.pointer(address)!, versioned);
  ensureThreads("release", 1);
  await callNative("release", deleter!, [address]);
}

afterEach(nothingLeft);

describe("toDLPack and fromDLPack", () => {
  it("write what dlpack.h says, and read it, for every dtype", () => {
    for (const [dtype, [code, bits]] of Object.entries(TYPES) as [NumericDType, readonly [number, number]][]) {
      using tensor = native(dtype, [2, 3]);
      const address = toDLPack(tensor).take(), struct = view(address, 80);
      assert.deepEqual([struct.getUint32(0, true), struct.getUint32(4, true)], [1, 1]); // major, minor
      assert.equal(struct.getBigUint64(24, true), 0n); // flags: neither read-only nor copied
      assert.deepEqual([struct.getInt32(40, true), struct.getInt32(44, true), struct.getInt32(48, true)], [1, 0, 2]);
      assert.deepEqual([struct.getUint8(52), struct.getUint8(53), struct.getUint16(54, true)], [code, bits, 1], dtype);
      const [shape, strides] = [view(struct.getBigUint64(56, true), 16), view(struct.getBigUint64(64, true), 16)];
      assert.deepEqual([shape.getBigInt64(0, true), shape.getBigInt64(8, true)], [2n, 3n]);
      assert.deepEqual([strides.getBigInt64(0, true), strides.getBigInt64(8, true)], [3n, 1n]);
      using same = fromDLPack(new DLPackTensor(address));
      assert.deepEqual([same.dtype, same.shape, same.storage], [dtype, [2, 3], "native"]);
    }
  });

  for (const versioned of [true, false]) {
    it(`share the memory, ${versioned ? "versioned" : "unversioned"}`, () => {
      using allocator = new SharedMemoryAllocator(), shared = allocator.tensor("float32", [4]);
      using own = native("float32", [4]);
      for (const tensor of [own, shared]) {
        using same = fromDLPack(toDLPack(tensor, { versioned })).as("float32");
        tensor.data[1] = 2.5;
        assert.equal(same.data[1], 2.5);
        same.data[2] = -1;
        assert.equal(tensor.data[2], -1);
      }
    });

    it(`take scalars, and tensors without elements, ${versioned ? "versioned" : "unversioned"}`, () => {
      for (const shape of [[], [0], [3, 0, 2]]) {
        using tensor = native("int64", shape), same = fromDLPack(toDLPack(tensor, { versioned }));
        assert.deepEqual([same.shape, same.size], [shape, tensor.size]);
        if (tensor.size > 0) tensor.data[0] = 9n;
        assert.deepEqual(same.data, tensor.data);
      }
    });
  }

  it("copy heap tensors, strided ones in their order", () => {
    const array = Float32Array.of(1, 2, 3, 4, 5, 6), transposed = { strides: [1, 3] };
    const tensor = makeTensor("float32", Object.freeze([3, 2]), heapStorage(array), transposed);
    using copy = fromDLPack(toDLPack(tensor)).as("float32");
    array[0] = 100;
    assert.deepEqual([...copy.data], [1, 4, 2, 5, 3, 6]);
    assert.equal(copy.readOnly, false);
  });

  it("keep strides", () => {
    using tensor = native("int32", [2, 3]);
    tensor.data.set([1, 2, 3, 4, 5, 6]);
    const address = toDLPack(tensor).take(), struct = view(address, 80);
    for (const at of [struct.getBigUint64(56, true), struct.getBigUint64(64, true)]) {
      const list = view(at, 16), [first, second] = [list.getBigInt64(0, true), list.getBigInt64(8, true)];
      list.setBigInt64(0, second, true); // the transposed tensor
      list.setBigInt64(8, first, true);
    }
    using turned = fromDLPack(new DLPackTensor(address)).as("int32");
    assert.deepEqual([turned.shape, turned.strides], [[3, 2], [1, 3]]);
    assert.throws(() => turned.data, failure("TypeError", "INVALID_LAYOUT"));
    assert.deepEqual([...turned.contiguous().data], [1, 4, 2, 5, 3, 6]);
    using again = fromDLPack(toDLPack(turned));
    assert.deepEqual(again.strides, [1, 3]);
  });

  it("start at the byte offset, and take no strides for row-major", () => {
    using tensor = native("int16", [4]);
    tensor.data.set([1, 2, 3, 4]);
    const address = toDLPack(tensor).take(), struct = view(address, 80);
    struct.setBigUint64(72, 4n, true);
    struct.setBigUint64(64, 0n, true);
    view(struct.getBigUint64(56, true), 8).setBigInt64(0, 2n, true);
    using tail = fromDLPack(new DLPackTensor(address)).as("int16");
    assert.deepEqual([...tail.data], [3, 4]);
  });

  it("pass on that a tensor is read-only, where the struct can say so", () => {
    using allocator = new SharedMemoryAllocator(), tensor = allocator.tensor("uint8", [2]);
    using seen = Tensor.open(tensor.ref, { readOnly: true }), same = fromDLPack(toDLPack(seen));
    assert.equal(same.readOnly, true);
    assert.throws(() => toDLPack(seen, { versioned: false }), failure("TypeError", "READ_ONLY"));
  });
});

describe("a tensor that is lent", () => {
  for (const versioned of [true, false]) {
    it(`stays when it is disposed, until another thread gives it back, ${versioned ? "" : "un"}versioned`, async () => {
      for (const isShared of [false, true]) {
        using allocator = new SharedMemoryAllocator();
        const tensor = isShared ? allocator.tensor("float64", [64]) : native("float64", [1 << 14]);
        tensor.data[5] = 0.5;
        const address = toDLPack(tensor, { versioned }).take();
        tensor[Symbol.dispose]();
        assert.throws(() => tensor.data, failure("ReferenceError", "DISPOSED"));
        const { data } = readManagedTensor(ffi.pointer(address)!, versioned);
        assert.equal(view(data, 64).getFloat64(40, true), 0.5);
        assert.deepEqual([liveHandles().tensor, liveHandles().loan], [1, 1]);
        await giveBackElsewhere(address, versioned);
        assert.ok(await collectUntil(() => liveHandles().loan === undefined)); // its owner is woken
        assert.equal(liveHandles().tensor, undefined);
      }
    });
  }

  it("stays when its scope and its allocator end, or nobody refers to it any more", async () => {
    const allocator = new SharedMemoryAllocator(), scope = allocator.scope();
    const address = (() => {
      const tensor = scope.tensor("int32", [4]);
      tensor.data[3] = 7;
      return toDLPack(tensor).take();
    })();
    for (let round = 0; round < 3; round++) await collectUntil(() => true);
    scope[Symbol.dispose]();
    allocator[Symbol.dispose]();
    const same = fromDLPack(new DLPackTensor(address)).as("int32");
    assert.equal(same.data[3], 7);
    same[Symbol.dispose]();
    assert.ok(await collectUntil(() => liveHandles().tensor === undefined));
  });

  it("goes when nobody takes it, and can be taken once", () => {
    using tensor = native("int8", [3]);
    const lent = toDLPack(tensor);
    lent[Symbol.dispose]();
    lent[Symbol.dispose]();
    assert.throws(() => lent.take(), failure("ReferenceError", "DISPOSED"));
    const twice = toDLPack(tensor);
    fromDLPack(twice)[Symbol.dispose]();
    assert.throws(() => fromDLPack(twice), failure("ReferenceError", "DISPOSED"));
  });

  it("goes when it is dropped before anybody took it", async () => {
    using tensor = native("int8", [3]);
    (() => {
      for (let i = 0; i < 40; i++) toDLPack(tensor);
    })();
    assert.ok(await collectUntil(() => (liveHandles().loan ?? 0) < 20)); // Bun's collector may keep a few
    assert.ok(await collectUntil(() => liveHandles().loan === undefined));
  });

  it("may have more dimensions than most", () => {
    using tensor = native("uint8", Array(100).fill(1)), same = fromDLPack(toDLPack(tensor));
    assert.equal(same.shape.length, 100);
  });

  it("of a Worker that ended stays until it comes back, and then goes", async () => {
    const script = new URL("./children/lent_by_worker.ts", import.meta.url);
    const { code, stdout, stderr } = await runChild(script);
    assert.deepEqual([code, stdout], [0, "intact, and gone when it came back\n"], stderr);
  });
});

describe("DLPack refuses", () => {
  /** A struct whose fields were changed, which is given back where it is refused. */
  function changed(change: (struct: DataView) => void): DLPackTensor {
    using tensor = native("float32", [2, 2]);
    const address = toDLPack(tensor).take();
    change(view(address, 80));
    return new DLPackTensor(address);
  }

  const BAD: readonly [name: string, change: (struct: DataView) => void, error: object][] = [
    [
      "CUDA's memory",
      (s) => s.setInt32(40, 2, true),
      failure("TypeError", "UNSUPPORTED", /in the CPU's memory wanted, one on CUDA:0/),
    ],
    ["another major version", (s) => s.setUint32(0, 2, true), failure("TypeError", "UNSUPPORTED", /version 2\.1/)],
    ["complex numbers", (s) => s.setUint8(52, 5), failure("TypeError", "INVALID_DTYPE", /complex32/)],
    ["a width that no dtype has", (s) => s.setUint8(53, 12), failure("TypeError", "INVALID_DTYPE", /float12/)],
    ["vectors", (s) => s.setUint16(54, 4, true), failure("TypeError", "INVALID_DTYPE", /float32 x 4/)],
    ["too many dimensions", (s) => s.setInt32(48, 1000, true), failure("TypeError", "INVALID_SHAPE")],
    ["fewer than none", (s) => s.setInt32(48, -1, true), failure("TypeError", "INVALID_SHAPE")],
    ["no shape", (s) => s.setBigUint64(56, 0n, true), failure("TypeError", "INVALID_SHAPE")],
    [
      "lengths below 0",
      (s) => view(s.getBigUint64(56, true), 8).setBigInt64(0, -2n, true),
      failure("RangeError", "INVALID_SHAPE"),
    ],
    [
      "strides below 0",
      (s) => view(s.getBigUint64(64, true), 8).setBigInt64(0, -2n, true),
      failure("TypeError", "INVALID_LAYOUT"),
    ],
    [
      "elements that are not aligned",
      (s) => s.setBigUint64(72, 2n, true),
      failure("TypeError", "INVALID_LAYOUT", /multiples of 4 bytes/),
    ],
    ["memory at 0", (s) => s.setBigUint64(32, 0n, true), failure("TypeError", "INVALID_ARGUMENT")],
  ];
  for (const [name, change, error] of BAD) {
    it(name, () => assert.throws(() => fromDLPack(changed(change)), error));
  }

  it("strings, disposed tensors, and what is neither tensor nor address", () => {
    assert.throws(() => toDLPack(Tensor.from(["a"], [1], "string")), failure("TypeError", "INVALID_DTYPE"));
    const gone = native("int8", [1]);
    gone[Symbol.dispose]();
    assert.throws(() => toDLPack(gone), failure("ReferenceError", "DISPOSED"));
    assert.throws(() => toDLPack(1 as unknown as Tensor), failure("TypeError", "INVALID_ARGUMENT"));
    assert.throws(() => fromDLPack({} as DLPackTensor), failure("TypeError", "INVALID_ARGUMENT"));
    for (const address of [0n, -1n, 2n ** 64n, 5]) {
      assert.throws(() => new DLPackTensor(address as bigint), failure("TypeError", "INVALID_ARGUMENT"));
    }
  });
});
