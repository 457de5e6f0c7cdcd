import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DType } from "../../src/tensor/dtype.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

const from = (value: unknown, dtype: DType) => () => Tensor.from([value as number], [1], dtype);

describe("plain values", () => {
  it("must fit a whole-number dtype", () => {
    const misfits: [unknown, DType][] = [
      [1.5, "int32"],
      [NaN, "int64"],
      [Infinity, "uint8"],
      [2 ** 53, "int64"],
      [-1, "uint64"],
      [2n ** 63n, "int64"],
      [2n ** 64n, "uint64"],
      [128, "int8"],
      [-129n, "int8"],
      [256, "uint8"],
      [2 ** 32, "uint32"],
      [2, "bool"],
    ];
    for (const [value, dtype] of misfits) {
      assert.throws(from(value, dtype), { name: "RangeError", code: "OUT_OF_RANGE" }, `${value} in ${dtype}`);
    }
  });

  it("must be of a type that the dtype holds", () => {
    const misfits: [unknown, DType][] = [
      ["1", "float32"],
      ["1", "int64"],
      [true, "float32"],
      [true, "int8"],
      ["true", "bool"],
      [1, "string"],
      [null, "float32"],
      [undefined, "int32"],
      [{}, "bfloat16"],
      [null, "string"],
    ];
    for (const [value, dtype] of misfits) {
      assert.throws(from(value, dtype), { name: "TypeError", code: "INVALID_DTYPE" }, `${value} in ${dtype}`);
    }
    assert.throws(() => Tensor.from(new Array(2), [2], "float32"), { code: "INVALID_DTYPE" });
  });

  it("say which element is wrong", () => {
    assert.throws(() => Tensor.from([1, 2, 300], [3], "uint8"), {
      message: "Cannot make a tensor of uint8: element 2 is 300, not a whole number from 0 to 255",
    });
  });

  it("may be bigints for floats, and are rounded as the dtype does it", () => {
    assert.deepEqual([...Tensor.from([3n, 0.1], [2], "float32").data], [3, Math.fround(0.1)]);
    assert.equal(Tensor.from([1e6], [1], "float16").data[0], Infinity);
  });

  it("are copied", () => {
    const values = [1, 2], strings = ["a"];
    const tensor = Tensor.from(values, [2], "float64"), text = Tensor.from(strings, [1], "string");
    values[0] = 9;
    strings[0] = "z";
    assert.deepEqual([tensor.data[0], text.data[0]], [1, "a"]);
  });

  it("of an array that lies about its length fill the shape all the same", () => {
    let asked = 0;
    const liar = new Proxy([1, 2, 3], {
      get: (target, key) => key === "length" && asked++ > 0 ? 1 : Reflect.get(target, key),
    });
    assert.deepEqual([...Tensor.from(liar, [3], "float32").data], [1, 2, 3]);
  });
});
