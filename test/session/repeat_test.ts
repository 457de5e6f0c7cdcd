import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import type { InferenceSession } from "../../src/session/inference_session.ts";
import type { Feeds, RunSyncOptions } from "../../src/session/run_options.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { add, dynamicOutput, slow, state } from "../support/models.ts";
import { failure, floats, nativeFloats, nativeZeros, open, slowFeeds } from "../support/sessions.ts";

/** More than it takes for a run to be known. */
const OFTEN = 40;

/** Runs the same again and again. */
function often(session: InferenceSession, feeds: Feeds, options?: RunSyncOptions): void {
  for (let run = 0; run < OFTEN; run++) session.runSync(feeds, options);
}

afterEach(nothingLeft);

describe("the same run again and again", () => {
  it("sees what was written into its feeds", async () => {
    await using session = await open(add());
    const heap = floats([0, 0]);
    using native = nativeFloats([0, 0]);
    for (let run = 0; run < OFTEN; run++) {
      heap.data[0] = run;
      native.data[1] = run;
      assert.deepEqual([...session.runSync({ a: heap, b: native }).c!.data], [run, run]);
    }
  });

  it("makes new tensors each time", async () => {
    await using session = await open(add());
    const feeds = { a: floats([0, 0]), b: floats([1, 1]) };
    const results = Array.from({ length: OFTEN }, (_, run) => {
      feeds.a.data[0] = run;
      return session.runSync(feeds);
    });
    results.forEach(({ c }, run) => assert.deepEqual([...c!.data], [run + 1, 1]));
  });

  it("writes into given tensors, of the heap and native", async () => {
    await using session = await open(state());
    using native = nativeZeros("float32", [2]);
    const feeds = { x: floats([0, 2]), state: floats([3, 4]) }, heap = floats([0, 0]);
    for (let run = 0; run < OFTEN; run++) {
      feeds.x.data[0] = run;
      const out = session.runSync(feeds, { outputs: { y: heap, next_state: native } });
      assert.deepEqual([out.y, out.next_state], [heap, native]);
      assert.deepEqual([[...heap.data], [...native.data]], [[3 * run, 8], [3 + run, 6]]);
    }
  });

  it("goes over to other tensors", async () => {
    await using session = await open(add());
    const feeds: Record<string, Tensor> = { a: floats([1, 1]), b: floats([2, 2]) };
    often(session, feeds);
    feeds.a = floats([5, 5]);
    assert.deepEqual([...session.runSync(feeds).c!.data], [7, 7]);
    often(session, feeds);
    using given = nativeZeros("float32", [2]);
    assert.equal(session.runSync(feeds, { outputs: { c: given } }).c, given);
    assert.deepEqual([...given.data], [7, 7]);
    assert.deepEqual([...session.runSync({ b: feeds.b!, a: feeds.b! }).c!.data], [4, 4]);
  });

  it("goes over to other outputs", async () => {
    await using session = await open(state());
    const feeds = { x: floats([1, 2]), state: floats([3, 4]) };
    const options: RunSyncOptions = { outputs: ["y"] };
    often(session, feeds, options);
    options.outputs = ["next_state"];
    assert.deepEqual(Object.keys(session.runSync(feeds, options)), ["next_state"]);
    often(session, feeds, options);
    assert.deepEqual(Object.keys(session.runSync(feeds)), ["y", "next_state"]);
    often(session, feeds);
    using out = session.runSync(feeds, { outputStorage: "native" });
    assert.deepEqual([out.y!.storage, ...out.y!.data], ["native", 3, 8]);
  });

  it("lets two states swap places", async () => {
    await using session = await open(state());
    const x = floats([1, 1]);
    using one = nativeFloats([0, 0]);
    using other = nativeZeros("float32", [2]);
    let [from, to] = [one, other];
    for (let run = 1; run <= OFTEN; run++, [from, to] = [to, from]) {
      session.runSync({ x, state: from }, { outputs: { y: floats([0, 0]), next_state: to } });
      assert.deepEqual([...to.data], [run, run]);
    }
  });

  it("sees a shape that hangs on values change", async () => {
    await using session = await open(dynamicOutput());
    const x = floats([1, 1, 0]);
    often(session, { x });
    x.data.set([0, 0, 1]);
    assert.deepEqual([...session.runSync({ x }).y!.data], [2n]);
    x.data.set([1, 1, 1]);
    assert.deepEqual([...session.runSync({ x }).y!.data], [0n, 1n, 2n]);
  });

  it("may run within itself", async () => {
    await using session = await open(add());
    const a = floats([1, 1]), b = floats([2, 2]), other = floats([5, 5]);
    let inner: number[] = [];
    const feeds = {
      get a(): Tensor {
        inner = [...session.runSync({ a: other, b: other }).c!.as("float32").data];
        return a;
      },
      b,
    };
    for (let run = 0; run < OFTEN; run++) {
      assert.deepEqual([...session.runSync(feeds).c!.data], [3, 3]);
      assert.deepEqual(inner, [10, 10]);
    }
  });

  it("is not taken in by a getter", async () => {
    await using session = await open(add({ shape: ["N"] }));
    const short = floats([1]), long = floats([1, 1, 1]);
    let asked = 0;
    const feeds = {
      get a(): Tensor {
        return asked++ > 20 && asked % 2 === 0 ? long : short;
      },
      b: long,
    };
    for (let run = 0; run < 2 * OFTEN; run++) {
      assert.deepEqual([...session.runSync(feeds).c!.data], [2, 2, 2]);
    }
  });
});

describe("the same run again and again refuses", () => {
  it("feeds that are missing or too many", async () => {
    await using session = await open(add());
    const feeds: Record<string, Tensor> = { a: floats([1, 1]), b: floats([2, 2]) };
    often(session, feeds);
    feeds.d = floats([3, 3]);
    assert.throws(() => session.runSync(feeds), failure("TypeError", "UNKNOWN_FEED"));
    delete feeds.d;
    often(session, feeds);
    delete feeds.b;
    assert.throws(() => session.runSync(feeds), failure("TypeError", "MISSING_FEED"));
    often(session, { ...feeds, b: floats([2, 2]) });
    assert.throws(() => session.runSync(undefined as unknown as Feeds), failure("TypeError", "INVALID_ARGUMENT"));
  });

  it("options that are none", async () => {
    await using session = await open(add());
    const feeds = { a: floats([1, 1]), b: floats([2, 2]) };
    often(session, feeds, {});
    const misspelt = { output: ["c"] } as RunSyncOptions;
    assert.throws(() => session.runSync(feeds, misspelt), failure("TypeError", "INVALID_ARGUMENT"));
  });

  it("tensors that were disposed", async () => {
    await using session = await open(add());
    using kept = nativeFloats([1, 1]);
    for (const dispose of ["a", "c"] as const) {
      using a = nativeFloats([1, 1]);
      using c = nativeZeros("float32", [2]);
      often(session, { a, b: kept }, { outputs: { c } });
      (dispose === "a" ? a : c)[Symbol.dispose]();
      const run = (): unknown => session.runSync({ a, b: kept }, { outputs: { c } });
      assert.throws(run, failure("ReferenceError", "DISPOSED"));
    }
  });

  it("arrays that were transferred away", async () => {
    await using session = await open(add());
    for (const transferred of ["a", "c"] as const) {
      const arrays = { a: new Float32Array(2), c: new Float32Array(2) };
      const feeds = { a: Tensor.from(arrays.a), b: floats([1, 1]) },
        options = { outputs: { c: Tensor.from(arrays.c) } };
      often(session, feeds, options);
      structuredClone(arrays[transferred], { transfer: [arrays[transferred].buffer] });
      assert.throws(() => session.runSync(feeds, options), failure("TypeError", "TENSOR_DETACHED"));
    }
  });

  it("a given tensor that another run uses", async () => {
    await using session = await open(slow());
    const feeds = slowFeeds(1);
    using y = nativeZeros("float32", [256]);
    often(session, feeds, { outputs: { y } });
    const running = session.run(slowFeeds(100), { outputs: { y } });
    assert.throws(() => session.runSync(feeds, { outputs: { y } }), failure("TypeError", "TENSOR_BUSY"));
    await running;
    assert.equal(session.runSync(feeds, { outputs: { y } }).y, y);
  });
});
