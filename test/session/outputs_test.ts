import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import type { InferenceSession } from "../../src/session/inference_session.ts";
import type { Feeds, RunSyncOptions } from "../../src/session/run_options.ts";
import { heapStorage, makeTensor } from "../../src/tensor/internal.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import type { Tensors } from "../../src/session/tensors.ts";
import { nothingLeft } from "../support/left.ts";
import { add, dynamicOutput, identity, state, strings } from "../support/models.ts";
import { encodeModel, node, tensorType } from "../support/models/proto.ts";
import { failure, floats, nativeFloats, nativeZeros, open } from "../support/sessions.ts";

type Failure = ReturnType<typeof failure>;

const x = floats([1, 2]), rows = floats([1, 2, 3, 4], [2, 2]);
const feeds = { x, state: floats([3, 4]) };

async function refuses(session: InferenceSession, feeds: Feeds, options: unknown, expected: Failure): Promise<void> {
  assert.throws(() => session.runSync(feeds, options as RunSyncOptions), expected);
  await assert.rejects(session.run(feeds, options as RunSyncOptions), expected);
}

/** The same run on this thread and on another. */
async function both(session: InferenceSession, feeds: Feeds, options?: RunSyncOptions): Promise<Tensors[]> {
  return [session.runSync(feeds, options), await session.run(feeds, options)];
}

afterEach(nothingLeft);

describe("outputs", () => {
  it("are all there by default", async () => {
    await using session = await open(state());
    for (const out of await both(session, feeds)) {
      assert.deepEqual(Object.keys(out), ["y", "next_state"]);
      assert.deepEqual([[...out.y!.data], [...out.next_state!.data]], [[3, 8], [4, 6]]);
      assert.equal(out.y!.storage, "heap");
    }
  });

  it("can be chosen, in any order", async () => {
    await using session = await open(state());
    for (const out of await both(session, feeds, { outputs: ["next_state"] })) {
      assert.deepEqual(Object.keys(out), ["next_state"]);
      assert.deepEqual([...out.next_state!.data], [4, 6]);
    }
    for (const out of await both(session, feeds, { outputs: ["next_state", "y"] })) {
      assert.deepEqual([[...out.y!.data], [...out.next_state!.data]], [[3, 8], [4, 6]]);
    }
  });

  it("of one run are never another's", async () => {
    await using session = await open(identity("float32", [2]));
    const first = session.runSync({ x }).y!, second = session.runSync({ x: floats([5, 6]) }).y!;
    const third = (await session.run({ x: floats([7, 8]) })).y!;
    first.data[0] = -1;
    assert.deepEqual([first, second, third].map((y) => [...y.data]), [[-1, 2], [5, 6], [7, 8]]);
  });

  it("have the shape that the run gave them", async () => {
    await using session = await open(dynamicOutput());
    for (const [values, indices] of [[[0, 1, 0, 2], [1, 3]], [[0, 0], []], [[1], [0]]] as const) {
      for (const { y } of await both(session, { x: floats(values) })) {
        assert.deepEqual(y!.shape, [1, indices.length]);
        assert.deepEqual([...y!.as("int64").data].map(Number), indices);
      }
    }
  });

  it("have the shape that this run gave them, whatever those before did", async () => {
    await using session = await open(dynamicOutput());
    const values = [[0, 1, 0, 2], [0, 3, 0, 4], [5, 0, 6, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 2], [7, 0, 0, 8]];
    for (let round = 0; round < 4; round++) {
      for (const fed of [...values, ...values.slice(0, 3)]) {
        const expected = fed.flatMap((value, i) => value === 0 ? [] : [i]);
        for (const outputStorage of ["heap", "native"] as const) {
          for (const out of await both(session, { x: floats(fed) }, { outputStorage })) {
            assert.deepEqual(out.y!.shape, [1, expected.length]);
            assert.deepEqual([...out.y!.as("int64").data].map(Number), expected);
            out[Symbol.dispose]();
          }
        }
      }
    }
  });

  it("have the shape that each of many runs at once gave them", async () => {
    await using session = await open(dynamicOutput());
    const fed = (i: number): number[] => Array.from({ length: 8 }, (_, k) => k < i % 9 ? 1 : 0);
    for (let warm = 0; warm < 20; warm++) await session.run({ x: floats(fed(5)) });
    const runs = Array.from({ length: 100 }, (_, i) => session.run({ x: floats(fed(i)) }));
    for (const [i, { y }] of (await Promise.all(runs)).entries()) assert.deepEqual(y!.shape, [1, i % 9]);
  });

  it("may have a shape that the model does not declare", async () => {
    const model = encodeModel({
      inputs: [{ name: "x", type: tensorType("float32") }],
      outputs: [{ name: "y", type: tensorType("float32") }],
      nodes: [node("Identity", ["x"], ["y"])],
    });
    await using session = await open(model);
    for (const fed of [floats([1, 2]), rows, floats([1], [])]) {
      for (const { y } of await both(session, { x: fed })) {
        assert.deepEqual(y!.shape, fed.shape);
        assert.deepEqual([...y!.data], [...fed.data]);
      }
    }
    using given = nativeZeros("float32", [2, 2]);
    await session.run({ x: rows }, { outputs: { y: given } });
    assert.deepEqual([...given.data], [1, 2, 3, 4]);
  });

  it("lie in native memory if asked, and go with their result", async () => {
    await using session = await open(state());
    for (const out of await both(session, feeds, { outputStorage: "native" })) {
      const { data } = out.y!.as("float32");
      assert.equal(out.y!.storage, "native");
      assert.deepEqual([...data], [3, 8]);
      out[Symbol.dispose]();
      assert.equal(data.length, 0);
      assert.ok(out.next_state!.disposed);
    }
  });

  it("in native memory feed the next run", async () => {
    await using session = await open(state());
    let held = nativeFloats([3, 4]);
    for (let i = 0; i < 5; i++) {
      using out = await session.run({ x, state: held }, { outputs: ["next_state"], outputStorage: "native" });
      const next = nativeFloats([...out.next_state!.as("float32").data]);
      held[Symbol.dispose]();
      held = next;
    }
    assert.deepEqual([...held.data], [8, 14]);
    held[Symbol.dispose]();
  });

  it("outlive their session", async () => {
    const session = await open(state()), out = await session.run(feeds, { outputStorage: "native" });
    await session[Symbol.asyncDispose]();
    assert.deepEqual([...out.y!.data], [3, 8]);
    out[Symbol.dispose]();
  });
});

describe("given tensors", () => {
  it("are written in place, in native memory", async () => {
    await using session = await open(state());
    using y = nativeZeros("float32", [2]);
    const { data } = y;
    const out = await session.run(feeds, { outputs: { y } });
    assert.equal(out.y, y);
    assert.deepEqual(Object.keys(out), ["y"]);
    assert.deepEqual([...data], [3, 8]);
    y.data.fill(0);
    session.runSync(feeds, { outputs: { y } });
    assert.deepEqual([...data], [3, 8]);
  });

  it("are written in place, in the heap, small and large", async () => {
    for (const length of [2, 1 << 16]) {
      await using session = await open(identity("float32", [length]));
      const array = new Float32Array(length),
        y = Tensor.from(array),
        fed = Tensor.from(new Float32Array(length).fill(7));
      assert.equal(session.runSync({ x: fed }, { outputs: { y } }).y, y);
      assert.ok(array.every((value) => value === 7));
    }
  });

  it("stay their giver's when the result is disposed", async () => {
    await using session = await open(state());
    using y = nativeZeros("float32", [2]);
    session.runSync(feeds, { outputs: { y }, outputStorage: "native" })[Symbol.dispose]();
    assert.ok(!y.disposed);
  });

  it("may have the feed's own memory, in the heap", async () => {
    for (const length of [2, 1 << 16]) {
      await using session = await open(add({ shape: [length] }));
      const a = Tensor.from(new Float32Array(length).fill(1)), b = Tensor.from(new Float32Array(length).fill(2));
      session.runSync({ a, b }, { outputs: { c: a } });
      assert.ok(a.data.every((value) => value === 3));
    }
  });

  it("of native memory cannot be a feed of the same run", async () => {
    await using session = await open(identity());
    using both = nativeFloats([1, 2]);
    await refuses(session, { x: both }, { outputs: { y: both } }, failure("TypeError", "TENSOR_BUSY"));
    assert.deepEqual([...both.data], [1, 2]);
  });

  it("cannot be two outputs of one run", async () => {
    await using session = await open(state());
    using y = nativeZeros("float32", [2]);
    await refuses(session, feeds, { outputs: { y, next_state: y } }, failure("TypeError", "TENSOR_BUSY"));
    await refuses(session, feeds, { outputs: ["y", "y"] }, failure("TypeError", "INVALID_ARGUMENT"));
  });

  it("must lie in native memory for an asynchronous run", async () => {
    await using session = await open(identity());
    await assert.rejects(session.run({ x }, { outputs: { y: floats([0, 0]) } }), failure("TypeError", "UNSUPPORTED"));
  });

  it("must fit", async () => {
    await using session = await open(identity());
    using float64 = nativeZeros("float64", [2]);
    using short = nativeZeros("float32", [1]);
    const readOnly = makeTensor("float32", Object.freeze([2]), heapStorage(new Float32Array(2)), { readOnly: true });
    const refused = (y: unknown, expected: Failure): Promise<void> =>
      refuses(session, { x }, { outputs: { y } }, expected);
    await refused(float64, failure("TypeError", "INVALID_DTYPE"));
    await refused(short, failure("RangeError", "INVALID_SHAPE"));
    await refused(readOnly, failure("TypeError", "READ_ONLY"));
    await refused(new Float32Array(2), failure("TypeError", "INVALID_ARGUMENT"));
    await refused(null, failure("TypeError", "INVALID_ARGUMENT"));
  });

  it("must not be disposed or detached", async () => {
    await using session = await open(identity());
    for (const y of [floats([0, 0]), nativeZeros("float32", [2])]) {
      y[Symbol.dispose]();
      assert.throws(() => session.runSync({ x }, { outputs: { y } }), failure("ReferenceError", "DISPOSED"));
    }
    const disposed = nativeZeros("float32", [2]), array = new Float32Array(2), detached = Tensor.from(array);
    disposed[Symbol.dispose]();
    await assert.rejects(session.run({ x }, { outputs: { y: disposed } }), failure("ReferenceError", "DISPOSED"));
    structuredClone(array.buffer, { transfer: [array.buffer] });
    assert.throws(() => session.runSync({ x }, { outputs: { y: detached } }), failure("TypeError", "TENSOR_DETACHED"));
  });

  it("cannot take strings", async () => {
    await using session = await open(strings());
    const text = Tensor.from(["a"], [1], "string"), twice = Tensor.zeros("string", [2]);
    await refuses(session, { text }, { outputs: { twice } }, failure("TypeError", "UNSUPPORTED"));
  });

  it("of another shape than the run gives are an error, and the session goes on", async () => {
    await using session = await open(dynamicOutput());
    using y = nativeZeros("int64", [1, 3]);
    const fed = { x: floats([0, 1, 0, 2]) };
    assert.throws(() => session.runSync(fed, { outputs: { y } }), { name: "OrtError" });
    await assert.rejects(session.run(fed, { outputs: { y } }), { name: "OrtError" });
    assert.deepEqual(session.runSync(fed).y!.shape, [1, 2]);
    y.data.fill(0n);
  });
});

describe("run options", () => {
  it("that are unknown or wrong are refused", async () => {
    await using session = await open(state());
    await refuses(session, feeds, { output: ["y"] }, failure("TypeError", "INVALID_ARGUMENT"));
    await refuses(session, feeds, { outputStorage: "gpu" }, failure("TypeError", "INVALID_ARGUMENT"));
    await refuses(session, feeds, { outputs: ["z"] }, failure("TypeError", "UNKNOWN_OUTPUT", /y, next_state/));
    await refuses(session, feeds, { outputs: { z: x } }, failure("TypeError", "UNKNOWN_OUTPUT"));
  });

  it("that ask for nothing are refused", async () => {
    await using session = await open(state());
    for (const outputs of [[], {}, null, "y", 3]) {
      await refuses(session, feeds, { outputs }, failure("TypeError", "INVALID_ARGUMENT"));
    }
  });
});
