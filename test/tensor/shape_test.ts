import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { copyShape, elementCount, isRowMajor, rowMajorStrides } from "../../src/tensor/shape.ts";

describe("copyShape", () => {
  it("copies", () => {
    const shape = [1, 2], copy = copyShape(shape);
    shape[0] = 9;
    assert.deepEqual(copy, [1, 2]);
  });

  for (const bad of [-1, 1.5, NaN, Infinity, 2 ** 53, "2", 2n, null, undefined]) {
    it(`refuses a dimension of ${typeof bad} ${String(bad)}`, () => {
      assert.throws(() => copyShape([2, bad as number]), { name: "RangeError", code: "INVALID_SHAPE" });
    });
  }

  it("refuses holes", () => {
    assert.throws(() => copyShape(new Array(2)), { name: "RangeError", code: "INVALID_SHAPE" });
  });

  it("refuses what is no array", () => {
    for (const bad of [5, "5", new Int32Array(2), { length: 1, 0: 1 }, null]) {
      assert.throws(() => copyShape(bad as unknown as number[]), { name: "TypeError", code: "INVALID_SHAPE" });
    }
  });
});

describe("elementCount", () => {
  it("is the product, and 1 for a scalar", () => {
    assert.equal(elementCount([2, 3, 4]), 24);
    assert.equal(elementCount([]), 1);
    assert.equal(elementCount([5, 0, 7]), 0);
  });

  it("refuses more than a number counts exactly", () => {
    assert.throws(() => elementCount([2 ** 27, 2 ** 27]), { name: "RangeError", code: "INVALID_SHAPE" });
    assert.throws(() => elementCount(new Array(30).fill(2 ** 50)), { code: "INVALID_SHAPE" });
    assert.equal(elementCount([2 ** 26, 2 ** 26]), 2 ** 52);
  });

  it("counts the bytes too", () => {
    assert.throws(() => elementCount([2 ** 51], 4), { name: "RangeError", code: "INVALID_SHAPE" });
    assert.equal(elementCount([2 ** 50], 4), 2 ** 50);
  });

  it("is 0 where a dimension is, however large the others", () => {
    assert.equal(elementCount([2 ** 40, 2 ** 40, 0]), 0);
    assert.equal(elementCount([...new Array(30).fill(2 ** 50), 0]), 0);
  });
});

describe("rowMajorStrides and isRowMajor", () => {
  it("agree", () => {
    assert.deepEqual(rowMajorStrides([2, 3, 4]), [12, 4, 1]);
    assert.deepEqual(rowMajorStrides([]), []);
    for (const shape of [[], [5], [2, 3, 4], [1, 7, 1]]) assert.ok(isRowMajor(shape, rowMajorStrides(shape)));
  });

  it("tell another layout", () => {
    assert.ok(!isRowMajor([2, 3], [1, 2]));
    assert.ok(!isRowMajor([2, 3], [4, 1]));
  });

  it("care for no stride of a dimension of 1, nor of an empty tensor", () => {
    assert.ok(isRowMajor([1, 3], [99, 1]));
    assert.ok(isRowMajor([0, 3], [5, 5]));
  });
});
