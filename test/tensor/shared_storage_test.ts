import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { liveHandles } from "../../src/handle.ts";
import { sweepSharedMemory } from "../../src/memory/regions.ts";
import { pinRead, pinWrite, storageOf, unpinRead, unpinWrite } from "../../src/tensor/internal.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { onBun } from "../cli/spawn.ts";
import { runChild } from "../support/child.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";

const busy = failure("TypeError", "TENSOR_BUSY"), disposed = failure("ReferenceError", "DISPOSED");

/** What a script that ends well printed. */
async function result(script: string, ...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runChild(new URL(`./workers/${script}`, import.meta.url), args);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

afterEach(nothingLeft);

describe("a shared tensor", () => {
  it("has one array, and a buffer that is exactly the tensor", () => {
    using allocator = new SharedMemoryAllocator();
    for (const shape of [[], [3], [2, 5], [0], [10_001]]) {
      using tensor = allocator.tensor("float32", shape);
      assert.equal(tensor.data, tensor.data);
      const { buffer, byteOffset, length } = tensor.data;
      assert.deepEqual([buffer.byteLength, byteOffset, length], [tensor.byteLength, 0, tensor.size]);
      assert.equal(tensor.storage, "shared");
    }
  });

  it("has windows of the same memory", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.tensor("int64", [8]);
    const window = tensor.view(2, 3);
    window.set([1n, 2n, 3n]);
    assert.deepEqual([...tensor.data.subarray(2, 5)], [1n, 2n, 3n]);
    assert.deepEqual([window.length, tensor.view(8, 0).length], [3, 0]);
    for (const [start, length] of [[-1, 1], [0, 9], [8, 1], [0.5, 1], [NaN, 1], [2 ** 53, 1]] as const) {
      assert.throws(() => tensor.view(start, length), failure("RangeError", "OUT_OF_RANGE"));
    }
  });

  it("is of its dtype, row-major, and says what it is", () => {
    using allocator = new SharedMemoryAllocator();
    const tensor = allocator.tensor("float32", [2, 3]);
    assert.equal(tensor.as("float32"), tensor);
    assert.throws(() => tensor.as("float64"), failure("TypeError", "INVALID_DTYPE"));
    assert.deepEqual([tensor.contiguous() === tensor, tensor.strides, tensor.readOnly], [true, [3, 1], false]);
    assert.equal(`${tensor}`, "Tensor(float32, [2, 3], shared)");
    tensor[Symbol.dispose]();
    assert.equal(`${tensor}`, "Tensor(float32, [2, 3], disposed)");
  });

  it("empties every view of it when disposed, and no other's", () => {
    using allocator = new SharedMemoryAllocator();
    using other = allocator.tensor("float32", [4]);
    const tensor = allocator.tensor("float32", [4]), { data } = tensor, kept = other.data.fill(5);
    const views = [data, tensor.view(1, 2), data.subarray(3), new Uint8Array(data.buffer)];
    for (let i = 0; i < 2; i++) tensor[Symbol.dispose]();
    data[0] = 9;
    assert.deepEqual(views.map((view) => view.length), [0, 0, 0, 0]);
    assert.deepEqual([data[0], [...kept], tensor.disposed], [undefined, [5, 5, 5, 5], true]);
    for (const use of [() => tensor.data, () => tensor.view(0, 1), () => tensor.contiguous(), () => tensor.toBytes()]) {
      assert.throws(use, disposed);
    }
  });

  it("never shows the tensor that has its memory next", () => {
    using allocator = new SharedMemoryAllocator();
    const first = allocator.tensor("uint8", [4096]), { data } = first, { byteOffset } = first.ref;
    first[Symbol.dispose]();
    using second = allocator.tensor("uint8", [4096]);
    second.data.fill(1);
    for (let i = 0; i < 4096; i++) data[i] = 2;
    assert.equal(second.ref.byteOffset, byteOffset);
    assert.ok(second.data.every((byte) => byte === 1));
  });

  it("is disposed of once, though twice", () => {
    using allocator = new SharedMemoryAllocator();
    const first = allocator.tensor("uint8", [64]);
    first[Symbol.dispose]();
    using second = allocator.tensor("uint8", [64]);
    first[Symbol.dispose]();
    assert.deepEqual([second.disposed, allocator.metrics().tensors], [false, 1]);
  });

  it("is busy while it is pinned", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.tensor("float32", [4]);
    pinRead(tensor);
    pinRead(tensor);
    assert.throws(() => pinWrite(tensor), busy);
    assert.equal(tensor.data.length, 4);
    for (let i = 0; i < 2; i++) unpinRead(tensor);
    pinWrite(tensor);
    for (const use of [() => tensor.data, () => tensor.view(0, 1), () => tensor.ref, () => pinRead(tensor)]) {
      assert.throws(use, busy);
    }
    assert.throws(() => allocator.share(tensor), busy);
    unpinWrite(tensor);
    assert.equal(tensor.ref.byteLength, 16);
  });

  for (const [what, pin, unpin] of [["read", pinRead, unpinRead], ["write", pinWrite, unpinWrite]] as const) {
    it(`keeps its memory under a ${what} pin, though disposed`, () => {
      using allocator = new SharedMemoryAllocator();
      const tensor = allocator.tensor("float32", [4]), { data, ref } = tensor, seen: string[] = [];
      storageOf(tensor).attachment = { [Symbol.dispose]: () => void seen.push("gone") };
      pin(tensor);
      tensor[Symbol.dispose]();
      using other = allocator.tensor("float32", [4]);
      assert.notEqual(other.ref.byteOffset, ref.byteOffset);
      assert.deepEqual([data.length, tensor.disposed, seen, allocator.metrics().tensors], [4, true, [], 2]);
      unpin(tensor);
      assert.deepEqual([data.length, seen, allocator.metrics().tensors], [0, ["gone"], 1]);
      assert.throws(() => Tensor.open(ref), failure("ReferenceError", "STALE_REFERENCE"));
    });
  }

  it("keeps the memory of a pinned one past its allocator", () => {
    const allocator = new SharedMemoryAllocator(), tensor = allocator.tensor("float32", [4]), { data } = tensor;
    data.fill(7);
    pinRead(tensor);
    allocator[Symbol.dispose]();
    assert.deepEqual([...data], [7, 7, 7, 7]);
    assert.equal(liveHandles().tensor, 1);
    unpinRead(tensor);
    assert.equal(data.length, 0);
  });
});

describe("a shared tensor whose buffer was transferred away", () => {
  it("has no data, and its memory is never used again", async () => {
    const { region, ...found } = await result("transferred.ts");
    assert.deepEqual(found, { code: "TENSOR_DETACHED", reused: 0, kept: true, abandoned: 1 });
    sweepSharedMemory();
    assert.ok(!existsSync(`/dev/shm/${region}`));
  });

  it("leaves others their memory where it was read-only", async () => {
    const { region, reused, ...found } = await result("transferred.ts", "read-only");
    assert.deepEqual(found, { code: "TENSOR_DETACHED", kept: true, abandoned: 1 });
    assert.equal(reused, 0); // the tensor it was opened from still holds it
    assert.ok(!existsSync(`/dev/shm/${region}`));
  });
});

describe("a shared tensor that is disposed of while the system reads into it", () => {
  it("crashes nothing, and has its memory until the view was collected where that could not be emptied", async () => {
    const { reused, tensors, left } = await result("in_flight.ts", "tensor");
    assert.deepEqual([reused, tensors, left], [!onBun, 0, {}]);
  });

  it("crashes nothing with its allocator, nor when it was read-only", async () => {
    for (const what of ["allocator", "read-only"]) assert.deepEqual((await result("in_flight.ts", what)).left, {});
  });
});
