import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  blocksOf,
  cutBlocks,
  equalBut,
  joinBlocks,
  joinExtents,
  type Part,
  requestExtent,
} from "../../src/worker/batch_blocks.ts";

/** Of one byte an element. */
const part = (shape: number[], ...bytes: number[]): Part => ({ shape, bytes: Uint8Array.from(bytes) });

function joined(parts: Part[], axis: number, elementByteLength: number = 1): Part {
  const shape = joinExtents(parts.map(({ shape }) => shape), axis)!;
  const bytes = new Uint8Array(shape.reduce((product, size) => product * size, elementByteLength));
  joinBlocks(bytes, parts, axis, elementByteLength);
  return { shape, bytes };
}

describe("blocksOf", () => {
  it("is one block along the first axis", () => {
    assert.deepEqual(blocksOf([2, 3, 4], 0, 4), { outer: 1, inner: 96 });
  });

  it("is a block for each row of the axes before", () => {
    assert.deepEqual(blocksOf([2, 3, 4], 1, 4), { outer: 2, inner: 48 });
    assert.deepEqual(blocksOf([2, 3, 4], 2, 8), { outer: 6, inner: 32 });
  });

  it("is empty where a dimension is", () => {
    assert.deepEqual(blocksOf([0, 3], 1, 4), { outer: 0, inner: 12 });
    assert.deepEqual(blocksOf([2, 0], 1, 4), { outer: 2, inner: 0 });
  });
});

describe("equalBut", () => {
  it("wants the same ranks, with the axis in them", () => {
    assert.equal(equalBut(0, [1, 2], [5, 2]), true);
    assert.equal(equalBut(0, [1, 2], [1, 3]), false);
    assert.equal(equalBut(0, [1], [1, 2]), false);
    assert.equal(equalBut(0, [], []), false);
  });
});

describe("joinExtents", () => {
  it("adds up along the axis", () => {
    assert.deepEqual(joinExtents([[2, 1, 128], [2, 3, 128], [2, 0, 128]], 1), [2, 4, 128]);
  });

  it("is nothing for shapes that differ elsewhere, or for none", () => {
    assert.equal(joinExtents([[1, 512], [1, 256]], 0), undefined);
    assert.equal(joinExtents([[1, 2], [1, 2, 1]], 0), undefined);
    assert.equal(joinExtents([], 0), undefined);
  });
});

describe("requestExtent", () => {
  const axes = { input: 0, state: 1, sr: "same" } as const;

  it("is how many rows each of the inputs has", () => {
    assert.equal(requestExtent(axes, { input: [1, 512], state: [2, 1, 128], sr: [] }), 1);
    assert.equal(requestExtent(axes, { sr: [], state: [2, 3, 128], input: [3, 512] }), 3);
  });

  it("is nothing where inputs have others, and one of them would be broadcast", () => {
    assert.equal(requestExtent(axes, { input: [4, 512], state: [2, 1, 128], sr: [] }), undefined);
    assert.equal(requestExtent(axes, { input: [1, 512], state: [2], sr: [] }), undefined);
  });

  it("is nothing for a request without rows", () => {
    assert.equal(requestExtent(axes, { input: [0, 512], state: [2, 0, 128], sr: [] }), undefined);
  });

  it("is nothing for a feed too many or too few", () => {
    assert.equal(requestExtent(axes, { input: [1, 512], state: [2, 1, 128] }), undefined);
    assert.equal(requestExtent(axes, { input: [1, 512], state: [2, 1, 128], scale: [2] }), undefined);
    assert.equal(requestExtent(axes, { input: [1, 512], state: [2, 1, 128], sr: [], scale: [2] }), undefined);
  });
});

describe("joinBlocks", () => {
  it("puts one after another along the first axis", () => {
    const { shape, bytes } = joined([part([1, 2], 1, 2), part([2, 2], 3, 4, 5, 6)], 0);
    assert.deepEqual([shape, [...bytes]], [[3, 2], [1, 2, 3, 4, 5, 6]]);
  });

  it("puts them in turns along another", () => {
    const { shape, bytes } = joined([part([2, 1], 1, 2), part([2, 2], 3, 4, 5, 6)], 1);
    assert.deepEqual([shape, [...bytes]], [[2, 3], [1, 3, 4, 2, 5, 6]]);
  });

  it("keeps elements of several bytes together", () => {
    const { bytes } = joined([part([2, 1], 1, 2, 3, 4), part([2, 1], 5, 6, 7, 8)], 1, 2);
    assert.deepEqual([...bytes], [1, 2, 5, 6, 3, 4, 7, 8]);
  });
});

describe("cutBlocks", () => {
  const parts = [part([2, 1, 2], 1, 2, 3, 4), part([2, 0, 2]), part([2, 2, 2], 5, 6, 7, 8, 9, 10, 11, 12)];

  it("gives back what was joined", () => {
    const whole = joined(parts, 1);
    let start = 0;
    for (const { shape, bytes } of parts) {
      assert.deepEqual(cutBlocks(whole, 1, 1, { start, extent: shape[1]! }), bytes);
      start += shape[1]!;
    }
  });

  it("copies", () => {
    const whole = joined(parts, 1), cut = cutBlocks(whole, 1, 1, { start: 0, extent: 1 });
    whole.bytes.fill(0);
    assert.deepEqual([...cut], [1, 2, 3, 4]);
  });

  it("cuts nothing from nothing", () => {
    assert.equal(cutBlocks(part([2, 0, 2]), 1, 1, { start: 0, extent: 0 }).length, 0);
  });
});
