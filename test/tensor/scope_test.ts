import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { sweepSharedMemory } from "../../src/memory/regions.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { pinRead, unpinRead } from "../../src/tensor/internal.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import type { TensorRef } from "../../src/tensor/tensor_ref.ts";
import { nothingLeft } from "../support/left.ts";
import { slow } from "../support/models.ts";
import { failure, floats, open, slowFeeds } from "../support/sessions.ts";

const KIB = 1024;
const foreign = failure("TypeError", "FOREIGN_REFERENCE"), disposed = failure("ReferenceError", "DISPOSED");
const outOfRange = failure("RangeError", "OUT_OF_RANGE");

/** What an allocation beyond a quota looks like. */
function overBudget(neededBytes: number, availableBytes: number, label: RegExp): object {
  return { name: "MemoryError", code: "MEMORY_BUDGET", neededBytes, availableBytes, message: label };
}

afterEach(nothingLeft);

describe("a scope", () => {
  it("makes and copies tensors within its quota", () => {
    using allocator = new SharedMemoryAllocator();
    using scope = allocator.scope({ maxBytes: KIB, label: "client 7" });
    using made = scope.tensor("float32", [100]);
    using shared = scope.share(floats([1, 2, 3]));
    assert.deepEqual([[...shared.data], made.storage, scope.bytesInUse], [[1, 2, 3], "shared", 448 + 64]);
    assert.deepEqual([scope.label, scope.maxBytes, scope.disposed], ["client 7", KIB, false]);
    assert.throws(() => scope.tensor("uint8", [513]), overBudget(576, 512, /client 7/));
    assert.throws(() => scope.share(Tensor.zeros("uint8", [KIB])), overBudget(KIB, 512, /client 7/));
    using rest = scope.tensor("uint8", [512]);
    assert.throws(() => scope.tensor("uint8", [0]), overBudget(64, 0, /client 7/));
    assert.deepEqual([rest.size, scope.bytesInUse, allocator.metrics().bytesInUse], [512, KIB, KIB]);
  });

  it("has freed memory at once again", () => {
    using allocator = new SharedMemoryAllocator();
    using scope = allocator.scope({ maxBytes: 64 * KIB });
    for (let i = 0; i < 100; i++) {
      using tensor = scope.tensor("uint8", [64 * KIB]);
      assert.equal(scope.bytesInUse, tensor.byteLength);
    }
    assert.equal(scope.bytesInUse, 0);
  });

  it("is bound by its allocator's limit as well", () => {
    using allocator = new SharedMemoryAllocator({ maxBytes: 2 * KIB });
    using one = allocator.scope({ maxBytes: 4 * KIB });
    using two = allocator.scope();
    using own = allocator.tensor("uint8", [KIB]);
    using _one = one.tensor("uint8", [512]);
    assert.throws(() => two.tensor("uint8", [513]), overBudget(576, 512, /the allocator/));
    assert.throws(() => one.tensor("uint8", [2 * KIB]), overBudget(2 * KIB, 512, /the allocator/));
    own[Symbol.dispose]();
    using two1 = two.tensor("uint8", [1536]);
    assert.equal(two1.size, 1536);
  });

  it("wants a quota that a tensor fits in", () => {
    using allocator = new SharedMemoryAllocator();
    for (const maxBytes of [0, 1, 63, -1, NaN, 64.5, -Infinity, "64", null]) {
      assert.throws(() => allocator.scope({ maxBytes: maxBytes as number }), outOfRange, String(maxBytes));
    }
    assert.deepEqual(allocator.metrics().scopes, []);
    using scope = allocator.scope({ maxBytes: 64 });
    assert.equal(scope.tensor("uint8", [64]).size, 64);
    using unbound = allocator.scope({ maxBytes: Infinity });
    assert.equal(unbound.maxBytes, Infinity);
  });

  it("appears in its allocator's metrics", () => {
    using allocator = new SharedMemoryAllocator({ maxBytes: 1 << 20 });
    using a = allocator.scope({ maxBytes: KIB, label: "a" });
    using b = allocator.scope({ label: "b" });
    using _own = allocator.tensor("uint8", [1]);
    using _a = a.tensor("uint8", [65]);
    const rows = [
      { label: "a", maxBytes: KIB, bytesInUse: 128, tensors: 1 },
      { label: "b", maxBytes: b.maxBytes, bytesInUse: 0, tensors: 0 },
    ];
    const { scopes, bytesInUse, tensors } = allocator.metrics();
    assert.deepEqual([scopes, bytesInUse, tensors], [rows, 192, 2]);
    a[Symbol.dispose]();
    assert.deepEqual(allocator.metrics().scopes, rows.slice(1));
    assert.notEqual(allocator.scope().label, allocator.scope().label);
  });

  it("disposes of its own tensors, and of no others, when it is disposed", () => {
    using allocator = new SharedMemoryAllocator();
    using other = allocator.scope();
    const scope = allocator.scope(), kept = [allocator.tensor("int8", [4]), other.tensor("int8", [4])];
    const own = [scope.tensor("int8", [4]), scope.share(Tensor.zeros("int8", [4]))];
    const views = [...own, ...kept].map(({ data }) => data);
    for (let i = 0; i < 2; i++) scope[Symbol.dispose]();
    assert.deepEqual(own.map((tensor) => tensor.disposed), [true, true]);
    assert.deepEqual(views.map((view) => view.length), [0, 0, 4, 4]);
    assert.deepEqual([scope.disposed, scope.bytesInUse, allocator.metrics().tensors], [true, 0, 2]);
  });

  it("makes nothing more once disposed, by itself or with its allocator", () => {
    const allocator = new SharedMemoryAllocator(), scope = allocator.scope(), other = allocator.scope();
    const tensor = other.tensor("int8", [4]), { ref } = tensor;
    scope[Symbol.dispose]();
    allocator[Symbol.dispose]();
    for (const gone of [scope, other]) {
      assert.ok(gone.disposed);
      for (const use of [() => gone.tensor("int8", [1]), () => gone.share(floats([1])), () => gone.open(ref)]) {
        assert.throws(use, disposed);
      }
    }
    assert.ok(tensor.disposed);
  });

  it("forgets what was disposed of before it", () => {
    using allocator = new SharedMemoryAllocator();
    const scope = allocator.scope(), first = scope.tensor("int8", [64]);
    first[Symbol.dispose]();
    using next = allocator.tensor("int8", [64]);
    scope[Symbol.dispose]();
    assert.deepEqual([next.disposed, next.data.length], [false, 64]);
  });

  it("leaves memory that is held elsewhere, which counts until it is let go", () => {
    const allocator = new SharedMemoryAllocator({ maxBytes: 64 }), scope = allocator.scope();
    const open = Tensor.open(scope.share(floats([7, 7])).ref);
    scope[Symbol.dispose]();
    assert.deepEqual([[...open.data], scope.bytesInUse, allocator.metrics().bytesInUse], [[7, 7], 64, 64]);
    assert.throws(() => allocator.tensor("int8", [1]), overBudget(64, 0, /the allocator/));
    open[Symbol.dispose]();
    assert.deepEqual([scope.bytesInUse, allocator.metrics().bytesInUse], [0, 0]);
    allocator[Symbol.dispose]();
  });

  it("leaves tensors that were handed off, until their time is over", () => {
    using allocator = new SharedMemoryAllocator();
    const scope = allocator.scope(), ref = scope.share(floats([7, 7])).handOff();
    const over = scope.tensor("int8", [1]).handOff({ ttlMs: 0 });
    scope[Symbol.dispose]();
    using adopted = Tensor.open(ref);
    sweepSharedMemory();
    assert.deepEqual([[...adopted.data], allocator.metrics().tensors], [[7, 7], 1]);
    assert.throws(() => Tensor.open(over), failure("ReferenceError", "STALE_REFERENCE"));
  });

  it("ends under a pin once that goes", () => {
    using allocator = new SharedMemoryAllocator();
    const scope = allocator.scope(), tensor = scope.share(floats([7])), { data } = tensor;
    pinRead(tensor);
    scope[Symbol.dispose]();
    assert.deepEqual([tensor.disposed, [...data], allocator.metrics().tensors], [true, [7], 1]);
    unpinRead(tensor);
    assert.deepEqual([data.length, allocator.metrics().tensors], [0, 0]);
  });

  it("may be disposed of during a run, which reads and writes on", async () => {
    await using session = await open(slow());
    using allocator = new SharedMemoryAllocator();
    const scope = allocator.scope(), { x, iterations } = slowFeeds(50);
    const [input, y] = [scope.share(x), scope.tensor("float32", [256])];
    const watched = Tensor.open(y.ref).as("float32");
    watched.data.fill(-1);
    const running = session.run({ x: input, iterations }, { outputs: { y } });
    scope[Symbol.dispose]();
    using next = allocator.tensor("uint8", [4096]);
    next.data.fill(255);
    await running;
    assert.deepEqual([watched.data[50], watched.data[51]], [0, 1]);
    assert.ok(next.data.every((byte) => byte === 255));
    watched[Symbol.dispose]();
    assert.deepEqual([scope.bytesInUse, allocator.metrics().tensors], [0, 1]);
  });
});

describe("scope.open", () => {
  it("opens what the scope made, and ends with it", () => {
    using allocator = new SharedMemoryAllocator();
    const scope = allocator.scope(), tensor = scope.share(floats([1, 2]));
    const own = scope.open(tensor.ref), read = scope.open(JSON.stringify(tensor.ref), { readOnly: true });
    tensor[Symbol.dispose]();
    assert.deepEqual([[...own.data], [...read.data], own.readOnly, read.readOnly], [[1, 2], [1, 2], false, true]);
    scope[Symbol.dispose]();
    assert.deepEqual([own.disposed, read.disposed, allocator.metrics().tensors], [true, true, 0]);
  });

  it("adopts what the scope handed off", () => {
    using allocator = new SharedMemoryAllocator();
    using scope = allocator.scope();
    using adopted = scope.open(scope.share(floats([1, 2])).handOff());
    assert.deepEqual([...adopted.data], [1, 2]);
  });

  it("refuses what the allocator, another scope or another allocator made", () => {
    using allocator = new SharedMemoryAllocator();
    using elsewhere = new SharedMemoryAllocator();
    using scope = allocator.scope({ label: "client 7" });
    using other = allocator.scope();
    using own = scope.tensor("int8", [4]);
    for (const maker of [allocator, other, elsewhere, elsewhere.scope()]) {
      using tensor = maker.tensor("int8", [4]);
      assert.throws(() => scope.open(tensor.ref), failure("TypeError", "FOREIGN_REFERENCE", /client 7/));
    }
    using beside = other.tensor("int8", [4]);
    assert.throws(() => scope.open({ ...own.ref, byteOffset: beside.ref.byteOffset }), outOfRange);
    beside[Symbol.dispose]();
    assert.deepEqual([other.bytesInUse, allocator.metrics().tensors], [0, 1]);
  });

  it("refuses what is gone, and what is no reference", () => {
    using allocator = new SharedMemoryAllocator();
    using scope = allocator.scope();
    const tensor = scope.tensor("int8", [4]), { ref } = tensor;
    tensor[Symbol.dispose]();
    assert.throws(() => scope.open(ref), foreign);
    using _next = allocator.tensor("int8", [4]);
    assert.throws(() => scope.open(ref), foreign);
    using own = scope.tensor("int8", [4]);
    const stale = { ...own.ref, generation: own.ref.generation + 1 };
    assert.throws(() => scope.open(stale), failure("ReferenceError", "STALE_REFERENCE"));
    for (const given of [null, "", 3, {}]) {
      assert.throws(() => scope.open(given as TensorRef), failure("TypeError", "INVALID_REFERENCE"));
    }
    assert.throws(() => scope.open({ ...own.ref, generation: 2 ** 52 }), foreign);
    assert.throws(() => scope.open({ ...own.ref, region: `coload-${"0".repeat(32)}` }), foreign);
    assert.throws(() => scope.open({ ...own.ref, region: "../x" }), foreign);
  });
});
