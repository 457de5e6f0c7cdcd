import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { liveHandles } from "../../src/handle.ts";
import { sweepSharedMemory } from "../../src/memory/regions.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { runChild } from "../support/child.ts";
import { collectUntil } from "../support/gc.ts";
import { left } from "../support/left.ts";

const COUNT = 32;

/** Bun's collector takes whatever looks like a pointer for one, so a few tensors may stay. */
const FEW = COUNT / 2;

afterEach(async () => {
  await collectUntil(() => Object.keys(left()).length === 0); // what was dropped in the test
});

for (const length of [4, 1 << 15]) {
  describe(`shared tensors of ${length} elements dropped without dispose`, () => {
    it("give their memory back", async () => {
      using allocator = new SharedMemoryAllocator();
      (function drop(): void {
        for (let i = 0; i < COUNT; i++) {
          const tensor = allocator.tensor("float32", [length]);
          if (i % 2 === 0) tensor.data[0] = i;
        }
      })();
      assert.equal(allocator.metrics().tensors, COUNT);
      assert.ok(await collectUntil(() => allocator.metrics().tensors < FEW));
    });

    it("do so where they were opened, too", async () => {
      using allocator = new SharedMemoryAllocator();
      (function drop(): void {
        for (let i = 0; i < COUNT; i++) {
          using tensor = allocator.tensor("float32", [length]);
          const open = Tensor.open(tensor.ref, { readOnly: i % 2 === 0 });
          if (i % 3 === 0) void open.data[0];
        }
      })();
      assert.equal(allocator.metrics().tensors, COUNT);
      assert.ok(await collectUntil(() => allocator.metrics().tensors < FEW));
    });

    it("keep it while an array over it lives", async () => {
      using allocator = new SharedMemoryAllocator();
      const arrays: Float32Array[] = [];
      (function drop(): void {
        for (let i = 0; i < COUNT; i++) {
          arrays.push(allocator.tensor("float32", [length]).data.fill(i).subarray(1));
          allocator.tensor("float32", [length]);
        }
      })();
      assert.ok(await collectUntil(() => allocator.metrics().tensors < COUNT + FEW));
      const fresh = Array.from({ length: COUNT }, () => allocator.tensor("float32", [length]));
      for (const tensor of fresh) tensor.data.fill(-1);
      arrays.forEach((array, i) => assert.ok(array.length === length - 1 && array.every((value) => value === i)));
      for (const tensor of fresh) tensor[Symbol.dispose]();
      arrays.length = 0;
      assert.ok(await collectUntil(() => allocator.metrics().tensors < FEW));
    });
  });
}

describe("shared tensors whose arrays outlive them", () => {
  it("keep their memory when the allocator is disposed of", async () => {
    const allocator = new SharedMemoryAllocator(), arrays: Uint8Array[] = [];
    (function drop(): void {
      for (let i = 0; i < COUNT; i++) arrays.push(allocator.tensor("uint8", [8192]).data.fill(i));
      for (let i = 0; i < COUNT; i++) allocator.tensor("uint8", [8192]);
    })();
    assert.ok(await collectUntil(() => allocator.metrics().tensors < COUNT + FEW));
    allocator[Symbol.dispose]();
    const ends = arrays.map((array, i) => array.length === 0 || array.every((byte) => byte === i));
    assert.ok(ends.every(Boolean));
    arrays.length = 0;
    assert.ok(await collectUntil(() => (liveHandles().tensor ?? 0) < FEW));
  });
});

describe("shared tensors that are kept", () => {
  it("survive a collection", async () => {
    using allocator = new SharedMemoryAllocator();
    using kept = allocator.tensor("float32", [4]);
    using open = Tensor.open(kept.ref);
    kept.data[0] = 8;
    (function drop(): void {
      for (let i = 0; i < COUNT; i++) allocator.tensor("float32", [4]);
    })();
    assert.ok(await collectUntil(() => allocator.metrics().tensors < FEW));
    assert.deepEqual([kept.data[0], open.data[0]], [8, 8]);
  });

  it("survive their allocator and their scope, which were dropped", async () => {
    const { code, stdout, stderr } = await runChild(new URL("./workers/dropped_allocator.ts", import.meta.url));
    assert.equal(code, 0, stderr);
    const { region, ...found } = JSON.parse(stdout);
    assert.deepEqual(found, { intact: true, shared: 31, tensors: 0 });
    sweepSharedMemory();
    assert.ok(!existsSync(`/dev/shm/${region}`));
  });
});
