import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { encodeModel, node, value } from "../support/models/proto.ts";
import { failure, nativeZeros, open } from "../support/sessions.ts";

const SIDE = 200, SIZE = SIDE * SIDE, shape = [SIDE, SIDE];
/** `y` is `x` transposed, which cannot be computed in place. */
const transpose = encodeModel({
  inputs: [value("x", "float32", ["N", "M"])],
  outputs: [value("y", "float32", ["M", "N"])],
  nodes: [node("Transpose", ["x"], ["y"])],
});
const values = Float32Array.from({ length: SIZE }, (_, i) => i);
const isTransposed = (data: Float32Array): boolean =>
  data.every((found, i) => found === values[(i % SIDE) * SIDE + Math.floor(i / SIDE)]);

afterEach(nothingLeft);

describe("a given heap tensor that is computed apart from what the run reads", () => {
  for (const [what, start] of [["all", 0], ["a part", SIZE / 2], ["none", SIZE]] as const) {
    it(`may share ${what} of a feed's buffer, by another array`, async () => {
      await using session = await open(transpose);
      const memory = new Float32Array(2 * SIZE), x = Tensor.from(memory.subarray(0, SIZE), shape);
      const y = Tensor.from(memory.subarray(start, start + SIZE), shape);
      x.data.set(values);
      session.runSync({ x }, { outputs: { y } });
      assert.ok(isTransposed(y.data));
    });
  }

  it("may be over the memory of a native feed", async () => {
    await using session = await open(transpose);
    using x = nativeZeros("float32", shape);
    const y = Tensor.from(x.data, shape);
    x.data.set(values);
    session.runSync({ x }, { outputs: { y } });
    assert.ok(isTransposed(y.data));
  });
});

describe("a given native tensor", () => {
  it("is busy while the run reads its memory as a heap tensor", async () => {
    await using session = await open(transpose);
    using y = nativeZeros("float32", shape);
    const x = Tensor.from(y.data, shape);
    assert.throws(() => session.runSync({ x }, { outputs: { y } }), failure("TypeError", "TENSOR_BUSY"));
    session.runSync({ x: Tensor.from(values, shape) }, { outputs: { y } });
    assert.equal(y.data[1], SIDE);
  });
});
