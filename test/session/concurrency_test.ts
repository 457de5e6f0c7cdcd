import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { ffi } from "../../ffi/mod.ts";
import { processBlock } from "../../ffi/process/shared.ts";
import { configuration } from "../../src/ort/configuration.ts";
import { InferenceSession } from "../../src/session/inference_session.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { add, identity, manyNodes, slow } from "../support/models.ts";
import { floats, open, slowFeeds } from "../support/sessions.ts";

/** Counts turns of the event loop until something is over. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0, over = false;
  void work.finally(() => over = true);
  while (!over) {
    await setImmediate();
    turns++;
  }
  await work;
  return turns;
}

/** Runs that native threads are in the middle of: see the layout of a lane in ffi/process/pool.ts. */
const computing = (): number => new Uint32Array(ffi.view(processBlock("pool", 4096).pointer, 4096))[24 / 4]!;

const threads = (): number => readdirSync("/proc/self/task").length;

afterEach(nothingLeft);

describe("runs at once", () => {
  it("200 on one session each get their own result", async () => {
    await using session = await open(add());
    const runs = Array.from({ length: 200 }, (_, i) => session.run({ a: floats([i, 1]), b: floats([i, 2]) }));
    for (const [i, { c }] of (await Promise.all(runs)).entries()) assert.deepEqual([...c!.data], [2 * i, 3]);
  });

  it("1,000 on four sessions, with native results", async () => {
    const sessions = await Promise.all([1, 2, 3, 4].map((n) => open(identity("int64", ["N", n]))));
    const runs = Array.from({ length: 1000 }, (_, i) => {
      const x = Tensor.from(new Array(2 * (i % 4 + 1)).fill(i), [2, i % 4 + 1], "int64");
      return sessions[i % 4]!.run({ x }, { outputStorage: "native" });
    });
    for (const [i, out] of (await Promise.all(runs)).entries()) {
      assert.ok(out.y!.as("int64").data.every((value) => value === BigInt(i)));
      out[Symbol.dispose]();
    }
    for (const session of sessions) await session[Symbol.asyncDispose]();
  });

  it("may be mixed with synchronous ones", async () => {
    await using session = await open(slow());
    const running = session.run(slowFeeds(20));
    assert.equal(session.runSync(slowFeeds(3)).y!.data[3], 0);
    assert.equal((await running).y!.data[20], 0);
  });

  it("share the process's threads, however many sessions there are", async () => {
    const sessions = await Promise.all([1, 2, 3, 4, 5, 6].map(() => open(slow())));
    const before = threads();
    await Promise.all(sessions.map((session) => session.run(slowFeeds(3))));
    assert.equal(threads(), before);
    const own = await InferenceSession.create(slow(), { intraOpNumThreads: 3 });
    assert.equal(threads(), before + 2);
    for (const session of [...sessions, own]) await session[Symbol.asyncDispose]();
  });

  it("are bounded over all sessions", async () => {
    const { maxConcurrentRuns } = configuration(), sessions = await Promise.all([1, 2].map(() => open(slow())));
    const runs = Array.from({ length: 4 * maxConcurrentRuns }, (_, i) => sessions[i % 2]!.run(slowFeeds(15)));
    let over = false, most = 0;
    void Promise.all(runs).finally(() => over = true);
    for (; !over; await setImmediate()) most = Math.max(most, computing());
    assert.equal(most, maxConcurrentRuns);
    for (const { y } of await Promise.all(runs)) assert.equal(y!.data[15], 0);
    for (const session of sessions) await session[Symbol.asyncDispose]();
  });
});

describe("the event loop", () => {
  it("goes on during a run", async () => {
    await using session = await open(slow());
    assert.ok(await turnsDuring(session.run(slowFeeds(200))) > 1);
  });

  it("goes on during a run of a session with one thread of its own", async () => {
    await using session = await InferenceSession.create(slow(), { intraOpNumThreads: 1 });
    assert.ok(await turnsDuring(session.run(slowFeeds(200))) > 1);
  });

  it("goes on during a load", async () => {
    const creating = InferenceSession.create(manyNodes(5000));
    assert.ok(await turnsDuring(creating) > 1);
    await (await creating)[Symbol.asyncDispose]();
  });

  it("goes on during a long load, beside which runs do not wait", async () => {
    await using session = await open(add());
    let loading = true, runs = 0;
    const creating = Promise.all([1, 2].map(() => InferenceSession.create(manyNodes(20_000))));
    void creating.finally(() => loading = false);
    while (loading) {
      await session.run({ a: floats([1, 2]), b: floats([1, 2]) });
      runs++;
    }
    assert.ok(runs > 1);
    for (const made of await creating) await made[Symbol.asyncDispose]();
  });
});
