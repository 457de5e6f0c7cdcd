import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { ExpectedExtents } from "../../src/session/expected_extents.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { dynamicOutput, failingRun, identity } from "../support/models.ts";
import { failure, floats, open } from "../support/sessions.ts";

const two = { shape: [2], byteLength: 8 }, three = { shape: [3], byteLength: 12 };

afterEach(nothingLeft);

describe("ExpectedExtents", () => {
  it("expects what an output was twice", () => {
    const expected = new ExpectedExtents();
    expected.note(1, two);
    assert.equal(expected.of(1), undefined);
    expected.note(1, { ...two, shape: [2] });
    assert.equal(expected.of(1), two);
    assert.equal(expected.of(0), undefined);
  });

  it("begins anew when an input's shape changes", () => {
    const expected = new ExpectedExtents();
    for (const extent of [two, two]) expected.note(0, extent);
    expected.forget();
    assert.equal(expected.of(0), undefined);
    for (const extent of [three, three]) expected.note(0, extent);
    assert.equal(expected.of(0), three);
  });

  it("expects nothing of an output whose shape hangs on values", () => {
    const expected = new ExpectedExtents();
    for (const extent of [two, two, three, three, three]) expected.note(0, extent);
    assert.equal(expected.of(0), undefined);
  });
});

describe("an output whose shape the model leaves open", () => {
  it("follows the shape of the input", async () => {
    await using session = await open(identity("float32", ["N"]));
    for (const values of [[1, 2], [3, 4], [5, 6], [7, 8, 9], [1, 2], [3], [], [4, 5, 6], [7, 8, 9], [1, 2, 3]]) {
      const { y } = session.runSync({ x: floats(values) });
      assert.deepEqual([y!.shape, [...y!.data]], [[values.length], values]);
    }
  });

  it("may hang on values at any time", async () => {
    await using session = await open(dynamicOutput());
    for (const values of [[1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 1, 1], [0, 0, 0], [0, 1, 0], [1, 1, 0]]) {
      const { y } = session.runSync({ x: floats(values) });
      const wanted = values.flatMap((value, i) => value === 0 ? [] : [BigInt(i)]);
      assert.deepEqual([y!.shape, [...y!.data]], [[1, wanted.length], wanted]);
    }
  });

  it("may be large", async () => {
    await using session = await open(identity("float32", ["N"]));
    for (let run = 1; run < 6; run++) {
      const { y } = session.runSync({ x: Tensor.from(new Float32Array(100_000).fill(run)) });
      assert.ok(y!.data.length === 100_000 && y!.as("float32").data.every((value) => value === run));
    }
  });

  it("is another tensor after each run", async () => {
    await using session = await open(identity("float32", ["N"]));
    const runs = [1, 2, 3, 4].map((value) => session.runSync({ x: floats([value]) }));
    assert.deepEqual(runs.map(({ y }) => y!.data[0]), [1, 2, 3, 4]);
  });

  it("leaves a run that fails failed", async () => {
    await using session = await open(failingRun());
    for (let run = 0; run < 4; run++) assert.equal(session.runSync({ x: floats([1, 2, 3]) }).y!.size, 3);
    assert.throws(() => session.runSync({ x: floats([1, 2]) }), failure("OrtError", "ORT_FAIL"));
  });
});
