import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { InferenceSession } from "../../src/session/inference_session.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { runChild } from "../support/child.ts";
import { nothingLeft } from "../support/left.ts";
import { add, manyNodes, slow } from "../support/models.ts";
import { failure, floats, nativeFloats, nativeZeros, open, slowFeeds } from "../support/sessions.ts";

/** So many that a run which is not stopped ends long after the test was given up. */
const FOREVER = 10_000_000;
const reason = new Error("changed my mind");
const busy = failure("TypeError", "TENSOR_BUSY");

/** Runs until a signal aborts it, feeding and writing native tensors. */
function endless(
  session: InferenceSession,
  x: Tensor,
  y: Tensor,
): { running: Promise<unknown>; stop: AbortController } {
  const stop = new AbortController(), { iterations } = slowFeeds(FOREVER);
  return { running: session.run({ x, iterations }, { outputs: { y }, signal: stop.signal }), stop };
}

afterEach(nothingLeft);

describe("aborting a run", () => {
  it("rejects with the signal's reason while C goes on with its operator", async () => {
    await using session = await open(slow());
    using x = nativeFloats(new Array(256).fill(1));
    using y = nativeZeros("float32", [256]);
    const { running, stop } = endless(session, x, y);
    stop.abort(reason);
    await assert.rejects(running, reason);
    assert.throws(() => y.data, busy);
    assert.throws(() => session.runSync({ ...slowFeeds(1), x }, { outputs: { y: x } }), busy);
  });

  it("gives its tensors back once C has stopped", async () => {
    const session = await open(slow());
    using x = nativeFloats(new Array(256).fill(1));
    using y = nativeZeros("float32", [256]);
    const { running, stop } = endless(session, x, y);
    stop.abort(reason);
    await assert.rejects(running, reason);
    await session[Symbol.asyncDispose]();
    x.data[0] = y.data[0] = 2;
  });

  it("frees tensors that were disposed meanwhile, once C has stopped", async () => {
    const session = await open(slow()), x = nativeFloats(new Array(256).fill(1)), y = nativeZeros("float32", [256]);
    const data = x.data, { running, stop } = endless(session, x, y);
    x[Symbol.dispose]();
    y[Symbol.dispose]();
    assert.equal(data.length, 256);
    stop.abort(reason);
    await assert.rejects(running, reason);
    await session[Symbol.asyncDispose]();
    assert.equal(data.length, 0);
  });

  it("leaves other runs of the session alone", async () => {
    await using session = await open(slow());
    const stop = new AbortController(), other = session.run(slowFeeds(30));
    const stopped = session.run(slowFeeds(FOREVER), { signal: stop.signal });
    stop.abort(reason);
    await assert.rejects(stopped, reason);
    assert.equal((await other).y!.data[30], 0);
    assert.equal((await session.run(slowFeeds(3), { signal: new AbortController().signal })).y!.data[3], 0);
  });

  it("stops runs that wait for their turn", async () => {
    await using session = await open(slow());
    const stop = new AbortController();
    const runs = Array.from({ length: 300 }, () => session.run(slowFeeds(FOREVER), { signal: stop.signal }));
    stop.abort(reason);
    const ends = await Promise.allSettled(runs);
    assert.ok(ends.every((end) => end.status === "rejected" && end.reason === reason));
    assert.equal((await session.run(slowFeeds(3))).y!.data[3], 0);
  });

  it("before it began rejects without running", async () => {
    await using session = await open(add());
    const feeds = { a: floats([1, 2]), b: floats([1, 2]) };
    await assert.rejects(session.run(feeds, { signal: AbortSignal.abort(reason) }), reason);
    await assert.rejects(session.run(feeds, { signal: AbortSignal.abort() }), { name: "AbortError" });
  });

  it("while its feeds are read rejects too", async () => {
    await using session = await open(slow());
    const stop = new AbortController(), { x, iterations } = slowFeeds(FOREVER);
    const feeds = {
      x,
      get iterations() {
        stop.abort(reason);
        return iterations;
      },
    };
    await assert.rejects(session.run(feeds, { signal: stop.signal }), reason);
  });

  it("when it is over harms neither it nor the next", async () => {
    await using session = await open(add());
    const feeds = { a: floats([1, 2]), b: floats([1, 2]) };
    for (let i = 0; i < 200; i++) {
      const one = new AbortController(), other = new AbortController();
      const first = session.run(feeds, { signal: one.signal }).then(() => other.abort(reason));
      const second = session.run(feeds, { signal: other.signal }).catch((error) => assert.equal(error, reason));
      await Promise.all([first, second]);
      const third = await session.run(feeds, { signal: new AbortController().signal });
      assert.deepEqual([...third.c!.data], [2, 4]);
    }
  });

  it("wants a signal", async () => {
    await using session = await open(add());
    const feeds = { a: floats([1, 2]), b: floats([1, 2]) }, signal = {} as AbortSignal;
    await assert.rejects(session.run(feeds, { signal }), failure("TypeError", "INVALID_ARGUMENT"));
    await assert.rejects(InferenceSession.create(add(), { signal }), failure("TypeError", "INVALID_ARGUMENT"));
  });
});

describe("aborting a load", () => {
  const model = manyNodes(20_000);

  it("rejects with the signal's reason", async () => {
    const stop = new AbortController();
    const creating = InferenceSession.create(model, {
      signal: stop.signal,
      onProgress: ({ phase }) => phase === "create" && queueMicrotask(() => stop.abort(reason)),
    });
    await assert.rejects(creating, reason);
  });

  it("before it began, or when it has just begun", async () => {
    await assert.rejects(InferenceSession.create(model, { signal: AbortSignal.abort(reason) }), reason);
    const stop = new AbortController(), creating = InferenceSession.create(model, { signal: stop.signal });
    stop.abort(reason);
    await assert.rejects(creating, reason);
  });

  it("by its own onProgress rejects as well", async () => {
    for (const wanted of ["find", "read", "create"]) {
      const stop = new AbortController();
      const creating = InferenceSession.create(add(), {
        signal: stop.signal,
        onProgress: ({ phase }) => phase === wanted && stop.abort(reason),
      });
      await assert.rejects(creating, reason);
    }
  });

  it("by the onProgress of a process's first load rejects as well", async () => {
    const { code, stdout, stderr } = await runChild(new URL("./children/aborted_first.ts", import.meta.url));
    assert.deepEqual([code, stdout], [0, "rejected: changed my mind\nEND\n"], stderr);
  });

  it("when it is over does nothing", async () => {
    const stop = new AbortController();
    await using session = await InferenceSession.create(add(), { signal: stop.signal });
    stop.abort(reason);
    assert.deepEqual([...session.runSync({ a: floats([1, 2]), b: floats([1, 2]) }).c!.data], [2, 4]);
  });

  it("at any moment gives a session or the reason", async () => {
    for (let i = 0; i < 40; i++) {
      const stop = new AbortController(), others = Array.from({ length: i % 5 }, () => open(add()));
      const creating = InferenceSession.create(add(), { signal: stop.signal });
      const race = Promise.race([...others, creating]).then(() => stop.abort(reason));
      const [end] = await Promise.allSettled([creating]);
      if (end.status === "fulfilled") await end.value[Symbol.asyncDispose]();
      else assert.equal(end.reason, reason);
      await race;
      for (const other of others) await (await other)[Symbol.asyncDispose]();
    }
  });
});
