import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { afterEach, describe, it } from "node:test";
import { InferenceSession } from "../../src/session/inference_session.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { add, dynamicOutput, identity, slow, state, withInitializerInput } from "../support/models.ts";
import { failure, floats, nativeFloats, nativeZeros, open } from "../support/sessions.ts";

const SILERO = createRequire(import.meta.url).resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx");
const disposed = failure("ReferenceError", "DISPOSED"), busy = failure("TypeError", "TENSOR_BUSY");

afterEach(nothingLeft);

describe("session.bind", () => {
  it("runs on what its tensors hold, and writes them in place", async () => {
    await using session = await open(add());
    using a = nativeFloats([1, 2]);
    using b = nativeFloats([10, 20]);
    using c = nativeZeros("float32", [2]);
    using binding = session.bind({ a, b }, { c });
    const { data } = c;
    binding.runSync();
    assert.deepEqual([...data], [11, 22]);
    a.data[0] = 5;
    await binding.run();
    assert.deepEqual([...data], [15, 22]);
    assert.deepEqual([binding.inputs, binding.outputs], [{ __proto__: null, a, b }, { __proto__: null, c }]);
  });

  it("leaves nothing behind when a tensor is disposed of while the others are read", async () => {
    await using session = await open(identity());
    using y = nativeZeros("float32", [2]);
    const x = nativeFloats([1, 2]);
    const outputs = {
      get y() {
        x[Symbol.dispose]();
        return y;
      },
    };
    assert.throws(() => session.bind({ x }, outputs), disposed); // and the session can go
  });

  it("may leave outputs out, and replace initializers", async () => {
    await using session = await open(state());
    await using scaled = await open(withInitializerInput());
    using x = nativeFloats([1, 2]);
    using other = nativeFloats([3, 4]);
    using y = nativeZeros("float32", [2]);
    using one = session.bind({ x, state: other }, { y });
    one.runSync();
    assert.deepEqual([...y.data], [3, 8]);
    using two = scaled.bind({ x, scale: other }, { y });
    two.runSync();
    assert.deepEqual([...y.data], [3, 8]);
  });

  it("refuses what a run would refuse", async () => {
    await using session = await open(add());
    using a = nativeFloats([1, 2]);
    using c = nativeZeros("float32", [2]);
    using short = nativeZeros("float32", [1]);
    using float64 = nativeZeros("float64", [2]);
    const refuses = (feeds: unknown, outputs: unknown, name: string, code: string): void =>
      assert.throws(() => session.bind(feeds as Record<string, Tensor>, outputs as Record<string, Tensor>), {
        name,
        code,
      });
    refuses({ a }, { c }, "TypeError", "MISSING_FEED");
    refuses({ a, b: a, d: a }, { c }, "TypeError", "UNKNOWN_FEED");
    refuses({ a, b: short }, { c }, "RangeError", "INVALID_SHAPE");
    refuses({ a, b: float64 }, { c }, "TypeError", "INVALID_DTYPE");
    refuses({ a, b: 3 }, { c }, "TypeError", "INVALID_ARGUMENT");
    refuses({ a, b: a }, { d: c }, "TypeError", "UNKNOWN_OUTPUT");
    refuses({ a, b: a }, { c: short }, "RangeError", "INVALID_SHAPE");
    refuses({ a, b: a }, { c: float64 }, "TypeError", "INVALID_DTYPE");
    refuses({ a, b: a }, { c: 3 }, "TypeError", "INVALID_ARGUMENT");
    refuses({ a, b: floats([1, 2]) }, { c }, "TypeError", "UNSUPPORTED");
    refuses({ a, b: a }, { c: floats([1, 2]) }, "TypeError", "UNSUPPORTED");
    refuses({ a, b: a }, {}, "TypeError", "INVALID_ARGUMENT");
  });

  it("refuses disposed tensors, when made and when run", async () => {
    await using session = await open(identity());
    const x = nativeFloats([1, 2]), y = nativeZeros("float32", [2]);
    using binding = session.bind({ x }, { y });
    y[Symbol.dispose]();
    assert.throws(() => binding.runSync(), disposed);
    assert.throws(() => binding.swap("x", "y"), disposed);
    assert.throws(() => session.bind({ x }, { y }), disposed);
    x[Symbol.dispose]();
    await assert.rejects(binding.run(), disposed);
    assert.throws(() => session.bind({ x }, { y }), disposed);
  });

  it("reports what onnxruntime refuses, and goes on", async () => {
    await using session = await open(dynamicOutput());
    using x = nativeFloats([0, 1, 0, 2]);
    using y = nativeZeros("int64", [1, 2]);
    using binding = session.bind({ x }, { y });
    x.data[0] = 1;
    assert.throws(() => binding.runSync(), { name: "OrtError" });
    await assert.rejects(binding.run(), { name: "OrtError" });
    x.data[0] = 0;
    binding.runSync();
    assert.deepEqual([...y.data], [1n, 3n]);
  });

  it("keeps its tensors busy during an asynchronous run, and lets go when disposed in it", async () => {
    await using session = await open(slow());
    using x = nativeFloats(Array.from({ length: 256 }, (_, i) => i));
    using iterations = nativeZeros("int64", []);
    using y = nativeZeros("float32", [256]);
    iterations.data[0] = 30n;
    const binding = session.bind({ x, iterations }, { y }), running = binding.run();
    assert.throws(() => y.data, busy);
    assert.throws(() => binding.runSync(), busy);
    assert.throws(() => binding.swap("x", "y"), busy);
    await assert.rejects(binding.run(), busy);
    binding[Symbol.dispose]();
    binding[Symbol.dispose]();
    await running;
    assert.equal(y.data[30], 0);
    assert.throws(() => binding.runSync(), disposed);
    await assert.rejects(binding.run(), disposed);
  });

  it("keeps its session until it is disposed", async () => {
    const session = await open(identity()), x = nativeFloats([1, 2]), y = nativeZeros("float32", [2]);
    const binding = session.bind({ x }, { y });
    session[Symbol.dispose]();
    binding.runSync();
    assert.deepEqual([...y.data], [1, 2]);
    for (const owned of [binding, x, y]) owned[Symbol.dispose]();
    await session[Symbol.asyncDispose]();
  });
});

describe("binding.swap", () => {
  it("feeds the state that came out, as unbound runs do", async () => {
    await using session = await open(state());
    using x = nativeFloats([1, 2]);
    using first = nativeZeros("float32", [2]);
    using y = nativeZeros("float32", [2]);
    using second = nativeZeros("float32", [2]);
    using binding = session.bind({ x, state: first }, { y, next_state: second });
    let expected: Tensor = floats([0, 0]);
    for (let i = 0; i < 7; i++) {
      const out = session.runSync({ x, state: expected });
      binding.runSync();
      assert.deepEqual([...y.data], [...out.y!.data]);
      binding.swap("state", "next_state");
      expected = out.next_state!;
    }
    assert.equal(binding.inputs.state, second);
    assert.deepEqual([...second.data], [7, 14]);
  });

  it("refuses what is not bound or does not match", async () => {
    await using session = await open(identity("float32", ["N"]));
    using x = nativeFloats([1, 2]);
    using y = nativeZeros("float32", [3]);
    using binding = session.bind({ x }, { y });
    assert.throws(() => binding.swap("state", "y"), failure("TypeError", "UNKNOWN_FEED"));
    assert.throws(() => binding.swap("x", "state"), failure("TypeError", "UNKNOWN_OUTPUT"));
    assert.throws(() => binding.swap("x", "y"), failure("RangeError", "INVALID_SHAPE"));
  });
});

describe("silero_vad", () => {
  it("gives the same bound, given and fresh, sync and async", async () => {
    await using session = await InferenceSession.create(SILERO);
    using input = nativeZeros("float32", [1, 512]);
    using sr = nativeZeros("int64", []);
    using before = nativeZeros("float32", [2, 1, 128]);
    using after = nativeZeros("float32", [2, 1, 128]);
    using output = nativeZeros("float32", [1, 1]);
    sr.data[0] = 16000n;
    using binding = session.bind({ input, sr, state: before }, { output, stateN: after });
    let state: Tensor = Tensor.zeros("float32", [2, 1, 128]);
    for (let step = 0; step < 12; step++) {
      input.data.forEach((_, i, samples) => samples[i] = Math.sin((step * 512 + i) / (5 + step)) / 2);
      const feeds = { input: Tensor.from(input.data.slice(), [1, 512]), sr: Tensor.from([16000], [], "int64"), state };
      const fresh = session.runSync(feeds), asynchronous = await session.run({ ...feeds, input, sr });
      if (step % 2 === 0) binding.runSync();
      else await binding.run();
      assert.deepEqual([...asynchronous.output!.data], [...fresh.output!.data]);
      assert.deepEqual([...output.data], [...fresh.output!.data]);
      assert.deepEqual([...binding.outputs.stateN!.data], [...fresh.stateN!.data]);
      binding.swap("state", "stateN");
      state = fresh.stateN!;
    }
  });
});
