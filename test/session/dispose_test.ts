import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { liveHandles } from "../../src/handle.ts";
import type { InferenceSession } from "../../src/session/inference_session.ts";
import type { Tensors } from "../../src/session/tensors.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { collectUntil } from "../support/gc.ts";
import { nothingLeft } from "../support/left.ts";
import { add, identity, slow } from "../support/models.ts";
import { failure, floats, nativeFloats, nativeZeros, open, slowFeeds } from "../support/sessions.ts";

const disposed = failure("ReferenceError", "DISPOSED");
const feeds = { a: floats([1, 2]), b: floats([3, 4]) };

afterEach(nothingLeft);

describe("a disposed session", () => {
  it("refuses everything but a second dispose", async () => {
    const session = await open(add());
    session[Symbol.dispose]();
    session[Symbol.dispose]();
    await session[Symbol.asyncDispose]();
    assert.ok(session.disposed);
    assert.throws(() => session.runSync(feeds), disposed);
    assert.throws(() => session.bind({}, {}), disposed);
    assert.throws(() => session.metadata, disposed);
    assert.throws(() => session.memory, disposed);
    await assert.rejects(session.run(feeds), disposed);
    assert.equal(session.inputs.length, 2);
  });

  it("lets its runs in flight finish", async () => {
    const session = await open(slow()), runs = [1, 2, 3].map(() => session.run(slowFeeds(20)));
    session[Symbol.dispose]();
    assert.equal(liveHandles().session, 1);
    await assert.rejects(session.run(slowFeeds(1)), disposed);
    for (const { y } of await Promise.all(runs)) assert.equal(y!.data[20], 0);
    assert.equal(liveHandles().session, undefined);
  });

  it("awaits them with `await using`", async () => {
    let running: Promise<Tensors> | undefined, over = false;
    {
      await using session = await open(slow());
      running = session.run(slowFeeds(20));
      void running.then(() => over = true);
    }
    assert.ok(over);
    assert.equal((await running).y!.data[20], 0);
  });

  it("gives the result of a run that leaves its scope", async () => {
    async function once(): Promise<Tensors> {
      using session = await open(slow());
      return session.run(slowFeeds(20));
    }
    assert.equal((await once()).y!.data[20], 0);
  });

  it("does so for a run that fails too", async () => {
    const session = await open(slow()), stop = new AbortController();
    const running = session.run(slowFeeds(10_000_000), { signal: stop.signal });
    session[Symbol.dispose]();
    stop.abort();
    await assert.rejects(running, { name: "AbortError" });
    await session[Symbol.asyncDispose]();
  });

  it("may be disposed of by many at once, each of whom waits", async () => {
    const session = await open(slow()), running = session.run(slowFeeds(20));
    await Promise.all([session[Symbol.asyncDispose](), session[Symbol.asyncDispose]()]);
    assert.equal(liveHandles().session, undefined);
    await running;
  });
});

describe("memory during a run", () => {
  it("of a heap feed may be transferred away", async () => {
    await using session = await open(slow());
    for (let i = 0; i < 20; i++) {
      const { x, iterations } = slowFeeds(3), { buffer } = x.data as Float32Array<ArrayBuffer>;
      const running = session.run({ x, iterations });
      const moved = new Float32Array(structuredClone(buffer, { transfer: [buffer] })).fill(-1);
      const { y } = await running;
      assert.deepEqual([y!.data[3], y!.data[4]], [0, 1]);
      assert.ok(moved.every((value) => value === -1));
    }
  });

  it("of a native feed stays until C is done, and goes then", async () => {
    await using session = await open(slow());
    const x = nativeFloats(Array.from({ length: 256 }, (_, i) => i)), { data } = x;
    const running = session.run({ ...slowFeeds(20), x });
    x[Symbol.dispose]();
    assert.equal(data.length, 256);
    assert.equal((await running).y!.data[20], 0);
    assert.equal(data.length, 0);
  });

  it("of a given output that is disposed is written and let go", async () => {
    await using session = await open(slow());
    const y = nativeZeros("float32", [256]), running = session.run(slowFeeds(5), { outputs: { y } });
    y[Symbol.dispose]();
    const out = await running;
    assert.ok(out.y!.disposed);
  });

  it("is kept through collections when nothing but the run needs it", async () => {
    await using session = await open(slow());
    const run = (): Promise<Tensors> => session.run(slowFeeds(30), { outputStorage: "native" });
    const runs = Array.from({ length: 4 }, run);
    let over = false;
    void Promise.all(runs).then(() => over = true);
    assert.ok(await collectUntil(() => over));
    for (const running of runs) {
      using out = await running;
      assert.deepEqual([out.y!.data[30], out.y!.data[31]], [0, 1]);
    }
  });

  it("of small heap tensors is right through collections", async () => {
    await using session = await open(identity("float32", [3]));
    for (let i = 0; i < 30; i++) {
      const runs = Array.from({ length: 8 }, (_, k) => session.run({ x: Tensor.from(Float32Array.of(i, k, 7)) }));
      await collectUntil(() => true);
      const sync = session.runSync({ x: Tensor.from(Float32Array.of(i, 9, 7)) }).y!;
      for (const [k, { y }] of (await Promise.all(runs)).entries()) assert.deepEqual([...y!.data], [i, k, 7]);
      assert.deepEqual([...sync.data], [i, 9, 7]);
    }
  });
});

describe("a session dropped without dispose", () => {
  it("is released by the garbage collector, and told of once", async () => {
    const { warn } = console, told: string[] = [];
    console.warn = (text: string) => void told.push(text);
    try {
      await (async function drop(): Promise<InferenceSession[]> {
        const sessions = await Promise.all(Array.from({ length: 8 }, () => open(add())));
        for (const session of sessions) session.runSync(feeds);
        return sessions;
      })().then((sessions) => assert.equal(sessions.length, 8));
      assert.ok(await collectUntil(() => (liveHandles().session ?? 0) <= 1));
      assert.ok(await collectUntil(() => liveHandles().session === undefined) || liveHandles().session === 1);
      assert.ok(told.length >= 7 && told.every((text) => /garbage-collected without dispose/.test(text)));
    } finally {
      console.warn = warn;
    }
  });
});

describe("awaiting the dispose of a session with a binding", () => {
  it("does not wait for the binding, which keeps the session until it is disposed", async () => {
    const session = await open(add());
    using a = nativeFloats([1, 2]), b = nativeFloats([3, 4]), c = nativeFloats([0, 0]);
    const binding = session.bind({ a, b }, { c });
    await session[Symbol.asyncDispose]();
    binding.runSync();
    assert.deepEqual([...c.data], [4, 6]);
    assert.equal(liveHandles().session, 1);
    binding[Symbol.dispose]();
    assert.equal(liveHandles().session, undefined);
  });
});
