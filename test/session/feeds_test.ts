import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import type { InferenceSession } from "../../src/session/inference_session.ts";
import type { Feeds } from "../../src/session/run_options.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { add, failingRun, identity, sequenceInput, strings, withInitializerInput } from "../support/models.ts";
import { failure, floats, nativeFloats, nativeZeros, open, slowFeeds } from "../support/sessions.ts";
import { slow } from "../support/models.ts";

type Failure = ReturnType<typeof failure>;

/** Both ways of running refuse the feeds alike. */
async function refuses(session: InferenceSession, feeds: unknown, expected: Failure): Promise<void> {
  assert.throws(() => session.runSync(feeds as Feeds), expected);
  await assert.rejects(session.run(feeds as Feeds), expected);
}

const a = floats([1, 2]), b = floats([3, 4]);

afterEach(nothingLeft);

describe("feeds that the model cannot take", () => {
  it("one is missing", async () => {
    await using session = await open(add());
    await refuses(session, { a }, failure("TypeError", "MISSING_FEED", /"b".*a \(float32\), b \(float32\)/));
    await refuses(session, {}, failure("TypeError", "MISSING_FEED"));
    await refuses(session, { a, b: undefined }, failure("TypeError", "MISSING_FEED"));
  });

  it("one is unknown", async () => {
    await using session = await open(add());
    await refuses(session, { a, b, c: b }, failure("TypeError", "UNKNOWN_FEED", /"c".*a \(float32\), b \(float32\)/));
    await refuses(session, { a, B: b }, failure("TypeError", "UNKNOWN_FEED", /"B"/));
  });

  it("are no object", async () => {
    await using session = await open(add());
    for (const feeds of [undefined, null, 7, "a"]) {
      await refuses(session, feeds, failure("TypeError", "INVALID_ARGUMENT"));
    }
  });

  it("one is no tensor", async () => {
    await using session = await open(add());
    for (const found of [new Float32Array(2), [1, 2], 1, null, "x", { data: new Float32Array(2), dims: [2] }]) {
      await refuses(session, { a, b: found }, failure("TypeError", "INVALID_ARGUMENT", /"b": a Tensor wanted/));
    }
  });

  it("one has another dtype", async () => {
    await using session = await open(add());
    const expected = failure("TypeError", "INVALID_DTYPE", /"b": float32 wanted, float64 found/);
    await refuses(session, { a, b: Tensor.from(new Float64Array(2)) }, expected);
    await refuses(session, { a, b: Tensor.from(["1", "2"], [2], "string") }, failure("TypeError", "INVALID_DTYPE"));
  });

  it("numbers are given where strings are wanted", async () => {
    await using session = await open(strings());
    await refuses(session, { text: a }, failure("TypeError", "INVALID_DTYPE", /string wanted, float32 found/));
  });

  it("one has another rank or size", async () => {
    await using session = await open(add({ shape: [2, "N"] }));
    using native = nativeZeros("float32", [3, 1]);
    for (
      const wrong of [floats([1, 2]), floats([1, 2], [1, 2, 1]), floats([1, 2, 3], [3, 1]), floats([1], []), native]
    ) {
      const expected = failure("RangeError", "INVALID_SHAPE", /"a": shape \[2, N\] wanted/);
      await refuses(session, { a: wrong, b: wrong }, expected);
    }
  });

  it("a right tensor was fed before a wrong one", async () => {
    await using session = await open(add());
    session.runSync({ a, b });
    await refuses(session, { a, b: floats([1, 2, 3]) }, failure("RangeError", "INVALID_SHAPE"));
    assert.deepEqual([...session.runSync({ a, b }).c!.data], [4, 6]);
  });

  it("the model wants what is no tensor", async () => {
    await using session = await open(sequenceInput());
    assert.deepEqual(session.inputs[0], {
      name: "items",
      kind: "sequence",
      dtype: "sequence<tensor<float32>>",
      shape: [],
    });
    const index = Tensor.from([0], [], "int64");
    await refuses(session, { items: a, index }, failure("TypeError", "NOT_A_TENSOR", /sequence<tensor<float32>>/));
  });

  it("its shape holds NaN, Infinity, a fraction or a negative number", () => {
    for (const size of [NaN, Infinity, 1.5, -1]) {
      assert.throws(() => Tensor.from(new Float32Array(2), [size]), failure("RangeError", "INVALID_SHAPE"));
    }
  });

  it("its buffer was transferred", async () => {
    await using session = await open(add());
    const array = new Float32Array(2), tensor = Tensor.from(array);
    structuredClone(array.buffer, { transfer: [array.buffer] });
    await refuses(session, { a: tensor, b }, failure("TypeError", "TENSOR_DETACHED"));
  });

  it("a large one's buffer was transferred", async () => {
    await using session = await open(add({ shape: [1 << 16] }));
    const array = new Float32Array(1 << 16), tensor = Tensor.from(array), other = Tensor.zeros("float32", [1 << 16]);
    structuredClone(array.buffer, { transfer: [array.buffer] });
    await refuses(session, { a: other, b: tensor }, failure("TypeError", "TENSOR_DETACHED"));
  });

  it("one was disposed", async () => {
    await using session = await open(add());
    for (const tensor of [floats([1, 2]), nativeFloats([1, 2])]) {
      tensor[Symbol.dispose]();
      await refuses(session, { a: tensor, b }, failure("ReferenceError", "DISPOSED"));
      await refuses(session, { a, b: tensor }, failure("ReferenceError", "DISPOSED"));
    }
  });

  it("a run is writing one", async () => {
    await using session = await open(slow(256));
    using y = nativeZeros("float32", [256]);
    const running = session.run(slowFeeds(20), { outputs: { y } });
    await refuses(session, { ...slowFeeds(1), x: y }, failure("TypeError", "TENSOR_BUSY"));
    await running;
    session.runSync({ ...slowFeeds(1), x: y });
  });

  it("leave a model that fails to run usable", async () => {
    await using session = await open(failingRun());
    const expected = { name: "OrtError", message: /Cannot run the model/ };
    for (let i = 0; i < 3; i++) {
      assert.throws(() => session.runSync({ x: floats([1, 2]) }), expected);
      await assert.rejects(session.run({ x: floats([1, 2]) }), expected);
      await assert.rejects(session.run({ x: floats([1, 2]) }, { outputStorage: "native" }), expected);
    }
    assert.deepEqual([...session.runSync({ x: floats([1, 2, 3]) }).y!.data], [1, 2, 3]);
  });
});

describe("feeds", () => {
  it("may come from an object without a prototype, or with getters", async () => {
    await using session = await open(add());
    const bare = Object.assign(Object.create(null), { a, b });
    const lazy = {
      a,
      get b() {
        return floats([3, 4]);
      },
    };
    for (const feeds of [bare, lazy]) assert.deepEqual([...(await session.run(feeds)).c!.data], [4, 6]);
  });

  it("may be one tensor twice, and the same in many runs at once", async () => {
    await using session = await open(add());
    using x = nativeFloats([1, 2]);
    const runs = Array.from({ length: 20 }, () => session.run({ a: x, b: x }));
    for (const { c } of await Promise.all(runs)) assert.deepEqual([...c!.data], [2, 4]);
  });

  it("may be views of one array at odd places", async () => {
    await using session = await open(identity("float32", [2]));
    const array = Float32Array.of(0, 1, 2, 3), x = Tensor.from(array.subarray(1, 3));
    assert.deepEqual([...session.runSync({ x }).y!.data], [1, 2]);
    assert.deepEqual([...(await session.run({ x })).y!.data], [1, 2]);
  });

  it("are read when the run begins", async () => {
    await using session = await open(slow(256));
    const feeds = slowFeeds(20), { data } = feeds.x.as("float32"), running = session.run(feeds);
    data.fill(-1);
    const { y } = await running;
    assert.equal(y!.data[20], 0);
    assert.equal(y!.data[21], 1);
  });

  it("may replace an initializer, or leave it", async () => {
    await using session = await open(withInitializerInput());
    const x = floats([1, 2]), scale = floats([2, 3]);
    using native = nativeFloats([4, 5]);
    const results = [
      session.runSync({ x }),
      session.runSync({ x, scale }),
      await session.run({ x, scale: native }),
      await session.run({ x }),
    ];
    assert.deepEqual(results.map(({ y }) => [...y!.data]), [[10, 200], [2, 6], [4, 10], [10, 200]]);
  });

  it("that replace an initializer are checked too", async () => {
    await using session = await open(withInitializerInput());
    const x = floats([1, 2]);
    await refuses(session, { x, scale: floats([1]) }, failure("RangeError", "INVALID_SHAPE"));
    await refuses(session, { x, scale: 3 }, failure("TypeError", "INVALID_ARGUMENT"));
    await refuses(session, { x, scales: x }, failure("TypeError", "UNKNOWN_FEED"));
  });
});
