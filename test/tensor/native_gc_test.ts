import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { liveHandles } from "../../src/handle.ts";
import { storageOf } from "../../src/tensor/internal.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { collectUntil } from "../support/gc.ts";

const COUNT = 32;
const native = (length: number): Tensor<"float32"> => Tensor.zeros("float32", [length], { storage: "native" });
const live = (): number => liveHandles().tensor ?? 0;

/** Bun's collector takes whatever looks like a pointer for one, so a few tensors may stay. */
const most = (before: number): () => boolean => () => live() < before - COUNT / 2;

describe("native tensors dropped without dispose", () => {
  for (const length of [4, 1 << 15]) {
    it(`of ${length} elements give their memory back`, async () => {
      const seen: number[] = [];
      (function drop(): void {
        for (let i = 0; i < COUNT; i++) {
          const tensor = native(length);
          if (i % 2 === 0) tensor.data[0] = i;
          storageOf(tensor).attachment = { [Symbol.dispose]: () => void seen.push(i) };
        }
      })();
      assert.ok(await collectUntil(most(live())));
      assert.ok(seen.length > COUNT / 2);
    });

    it(`of ${length} elements live on while their arrays do`, async () => {
      const arrays: Float32Array[] = [];
      (function drop(): void {
        for (let i = 0; i < COUNT; i++) arrays.push(native(length).data.fill(i).subarray(1));
        for (let i = 0; i < COUNT; i++) native(length);
      })();
      const before = live();
      assert.ok(await collectUntil(most(before)));
      assert.ok(live() >= COUNT);
      for (let i = 0; i < COUNT; i++) native(length)[Symbol.dispose]();
      arrays.forEach((array, i) => assert.ok(array.length === length - 1 && array.every((value) => value === i)));
      arrays.length = 0;
      assert.ok(await collectUntil(most(Math.min(before, live() + 1))));
    });

    it(`of ${length} elements leave memory alone that was transferred away`, async () => {
      const moved: Float32Array[] = [], before = liveHandles()["abandoned tensor"] ?? 0;
      (function drop(): void {
        for (let i = 0; i < COUNT; i++) {
          const { buffer } = native(length).data.fill(i);
          moved.push(new Float32Array(structuredClone(buffer, { transfer: [buffer] })));
        }
      })();
      const abandoned = (): number => (liveHandles()["abandoned tensor"] ?? 0) - before;
      assert.ok(await collectUntil(() => abandoned() > COUNT / 2));
      moved.forEach((array, i) => assert.ok(array.every((value) => value === i)));
    });
  }
});

describe("native tensors that are kept", () => {
  it("survive a collection", async () => {
    using kept = native(4);
    kept.data[0] = 8;
    (function drop(): void {
      for (let i = 0; i < COUNT; i++) native(4);
    })();
    assert.ok(await collectUntil(most(live())));
    assert.equal(kept.data[0], 8);
  });
});
