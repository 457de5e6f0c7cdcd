import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { storageOf } from "../../src/tensor/internal.ts";
import type { InferenceSession } from "../../src/session/inference_session.ts";
import type { Feeds, RunOptions, RunSyncOptions } from "../../src/session/run_options.ts";
import type { Tensors } from "../../src/session/tensors.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { add, dynamicOutput, failingRun, identity, slow, state, strings, zeroSize } from "../support/models.ts";
import { failure, floats, nativeFloats, open, slowFeeds } from "../support/sessions.ts";

/** More than it takes for a run to be known. */
const OFTEN = 40;
const busy = failure("TypeError", "TENSOR_BUSY"), readOnly = { readOnly: true };
const x = floats([1, 2]), feeds = { x, state: floats([3, 4]) };

/** Tensors of the process's default allocator: what runs made and nobody disposed of. */
const made = (): number => SharedMemoryAllocator.default.metrics().tensors;

/** The same run on this thread and on another. */
async function* both(session: InferenceSession, feeds: Feeds, options?: RunSyncOptions): AsyncGenerator<Tensors> {
  yield session.runSync(feeds, options);
  yield await session.run(feeds, options);
}

async function refuses(session: InferenceSession, feeds: Feeds, options: RunOptions, expected: object): Promise<void> {
  assert.throws(() => session.runSync(feeds, options), expected);
  await assert.rejects(session.run(feeds, options), expected);
}

afterEach(() => {
  assert.equal(made(), 0);
  SharedMemoryAllocator.default[Symbol.dispose]();
  nothingLeft();
});

for (const backend of ["named", "memfd"] as const) {
  describe(`${backend} tensors`, () => {
    it("feed runs and take their outputs, without a copy", async () => {
      await using session = await open(add());
      using allocator = new SharedMemoryAllocator({ backend });
      using a = allocator.share(floats([1, 2]));
      using peer = Tensor.open(a.ref).as("float32");
      using b = allocator.share(floats([10, 20]));
      using c = allocator.tensor("float32", [2]);
      using watched = Tensor.open(c.ref);
      for (let round = 0; round < OFTEN; round++) {
        peer.data[0] = round; // as another process would
        for await (const out of both(session, { a, b }, { outputs: { c } })) {
          assert.equal(out.c, c);
          assert.deepEqual([...watched.data], [10 + round, 22]);
          c.data.fill(0);
        }
      }
    });

    it("are bound, and what was written by somebody else since is run on", async () => {
      await using session = await open(add());
      using allocator = new SharedMemoryAllocator({ backend });
      using a = allocator.share(floats([1, 2]));
      using peer = Tensor.open(a.ref).as("float32");
      using b = nativeFloats([10, 20]);
      using c = allocator.tensor("float32", [2]);
      using watched = Tensor.open(c.ref);
      using binding = session.bind({ a, b }, { c });
      for (let round = 0; round < OFTEN; round++) {
        peer.data[0] = round;
        if (round % 2) binding.runSync();
        else await binding.run();
        assert.deepEqual([...watched.data], [10 + round, 22]);
      }
    });
  });
}

describe("a shared tensor in a run", () => {
  it("is busy as long as it lasts, and goes afterwards if disposed of", async () => {
    await using session = await open(slow());
    using allocator = new SharedMemoryAllocator();
    const fed = slowFeeds(30), input = allocator.share(fed.x), y = allocator.tensor("float32", [256]);
    using watched = Tensor.open(y.ref).as("float32");
    const running = session.run({ x: input, iterations: fed.iterations }, { outputs: { y } });
    assert.throws(() => y.data, busy);
    assert.throws(() => input.handOff(), busy);
    assert.throws(() => y.handOff(), busy);
    await assert.rejects(session.run({ x: y, iterations: fed.iterations }), busy);
    for (const tensor of [input, y]) tensor[Symbol.dispose]();
    assert.equal(allocator.metrics().tensors, 2);
    await running;
    assert.deepEqual([watched.data[30], watched.data[31], allocator.metrics().tensors], [0, 1, 1]);
  });

  it("may be read only as a feed, and not as an output", async () => {
    await using session = await open(identity());
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.share(floats([1, 2]));
    using read = Tensor.open(tensor.ref, readOnly);
    using y = allocator.tensor("float32", [2]);
    for (const change of [3, 4]) {
      tensor.data[0] = change;
      for await (const _ of both(session, { x: read }, { outputs: { y } })) {
        assert.deepEqual([...y.data], [change, 2]);
        y.data.fill(0);
      }
    }
    const expected = failure("TypeError", "READ_ONLY");
    await refuses(session, { x }, { outputs: { y: read } }, expected);
    assert.throws(() => session.bind({ x: tensor }, { y: read }), expected);
    using binding = session.bind({ x: read }, { y });
    binding.runSync();
    assert.deepEqual([...y.data], [4, 2]);
  });

  it("cannot be an output over the memory of a feed, or of another output", async () => {
    await using session = await open(identity());
    await using two = await open(state());
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.share(floats([1, 2, 3, 4]));
    const { ref } = tensor, part = { ...ref, byteLength: 8, shape: [2] };
    using start = Tensor.open(part);
    using middle = Tensor.open({ ...part, byteOffset: ref.byteOffset + 4 });
    using end = Tensor.open({ ...part, byteOffset: ref.byteOffset + 8 });
    using read = Tensor.open(part, readOnly);
    for (const [fed, y] of [[start, middle], [middle, start], [read, start], [read, middle], [start, start]] as const) {
      await refuses(session, { x: fed }, { outputs: { y } }, busy);
      if (fed !== y) assert.throws(() => session.bind({ x: fed }, { y }), busy);
    }
    for (const fed of [start, x, Tensor.from(middle.as("float32").data)]) {
      await refuses(two, { x: fed, state: x }, { outputs: { y: start, next_state: middle } }, busy);
    }
    assert.deepEqual([...tensor.data], [1, 2, 3, 4]);
    for await (const _ of both(session, { x: start }, { outputs: { y: end } })) {
      assert.deepEqual([...tensor.data], [1, 2, 1, 2]);
      tensor.data.set([1, 2, 3, 4]);
    }
  });

  it("may be two feeds at once, and two tensors of the same memory", async () => {
    await using session = await open(add());
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.share(floats([1, 2]));
    using same = Tensor.open(tensor.ref);
    for await (const { c } of both(session, { a: tensor, b: same })) assert.deepEqual([...c!.data], [2, 4]);
    for await (const { c } of both(session, { a: same, b: same })) assert.deepEqual([...c!.data], [2, 4]);
  });

  it("is refused once disposed of", async () => {
    await using session = await open(identity());
    using allocator = new SharedMemoryAllocator();
    const y = allocator.tensor("float32", [2]), disposed = failure("ReferenceError", "DISPOSED");
    y.handOff({ ttlMs: 0 });
    await refuses(session, { x }, { outputs: { y } }, disposed);
    await refuses(session, { x: y }, {}, disposed);
    assert.throws(() => session.bind({ x: y }, { y }), disposed);
  });
});

describe('outputStorage "shared"', () => {
  it("makes tensors that others open, and that go with the result", async () => {
    await using session = await open(state());
    for (let round = 0; round < OFTEN; round++) {
      for await (const out of both(session, feeds, { outputStorage: "shared" })) {
        using result = out;
        using peer = Tensor.open(result.y!.ref);
        assert.deepEqual([result.y!.storage, [...peer.data], made()], ["shared", [3, 8], 2]);
        assert.deepEqual([...result.next_state!.data], [4, 6]);
        assert.equal(storageOf(result.y!).byteLength, 8);
      }
    }
  });

  it("holds what each run gave, though the next has the same memory", async () => {
    await using session = await open(identity());
    for (let round = 0; round < OFTEN; round++) {
      const fed = floats([round, -round]);
      for await (const out of both(session, { x: fed }, { outputStorage: "shared" })) {
        assert.deepEqual([...out.y!.data], [round, -round]);
        out[Symbol.dispose]();
      }
    }
  });

  it("holds outputs whose shape only the run tells", async () => {
    await using session = await open(dynamicOutput());
    const values = [[0, 1, 0, 2], [0, 3, 0, 4], [0, 5, 0, 6], [0, 0, 0, 0], [1, 1, 1, 1], [1], [0, 1, 0, 2], []];
    for (const fed of [...values, ...values, ...values]) {
      const expected = fed.flatMap((value, i) => value === 0 ? [] : [BigInt(i)]);
      for await (const out of both(session, { x: floats(fed) }, { outputStorage: "shared" })) {
        using result = out;
        assert.deepEqual([result.y!.shape, result.y!.storage], [[1, expected.length], "shared"]);
        assert.deepEqual([...result.y!.data], expected);
      }
    }
  });

  it("holds nothing where there is nothing, and strings in the heap", async () => {
    await using nothing = await open(zeroSize());
    for await (const out of both(nothing, { x: Tensor.zeros("float32", [0, 3]) }, { outputStorage: "shared" })) {
      assert.deepEqual([out.y!.shape, out.y!.storage, out.y!.data.length], [[0, 3], "shared", 0]);
      out[Symbol.dispose]();
    }
    await using session = await open(strings());
    for await (const out of both(session, { text: Tensor.from(["a"], [1], "string") }, { outputStorage: "shared" })) {
      for (const name of Object.keys(out)) assert.equal(out[name]!.storage, "heap");
    }
  });

  it("may change from run to run", async () => {
    await using session = await open(add());
    const fed = { a: floats([0, 0]), b: floats([1, 1]) };
    for (let round = 0; round < 2 * OFTEN; round++) {
      const outputStorage = round % 20 < 12 ? "heap" : round % 3 === 0 ? "native" : "shared";
      fed.a.data[0] = round;
      for await (const out of both(session, fed, { outputStorage })) {
        assert.deepEqual([[...out.c!.data], out.c!.storage], [[round + 1, 1], outputStorage]);
        out[Symbol.dispose]();
      }
    }
  });

  it("leaves tensors to those who opened them, past result and session", async () => {
    const session = await open(state()), out = await session.run(feeds, { outputStorage: "shared" });
    await session[Symbol.asyncDispose]();
    using peer = Tensor.open(out.y!.ref);
    out[Symbol.dispose]();
    assert.deepEqual([[...peer.data], made()], [[3, 8], 1]);
    const ref = peer.handOff();
    using adopted = Tensor.open(ref);
    assert.deepEqual([...adopted.data], [3, 8]);
  });

  it("makes outputs beside given ones", async () => {
    await using session = await open(state());
    using allocator = new SharedMemoryAllocator();
    using y = allocator.tensor("float32", [2]);
    for await (const out of both(session, feeds, { outputs: { y }, outputStorage: "shared" })) {
      out[Symbol.dispose]();
      assert.deepEqual([[...y.data], Object.keys(out)], [[3, 8], ["y"]]);
    }
    for await (const out of both(session, feeds, { outputs: ["next_state"], outputStorage: "shared" })) {
      assert.deepEqual([[...out.next_state!.data], made()], [[4, 6], 1]);
      out[Symbol.dispose]();
    }
  });

  it("leaves nothing of a run that fails", async () => {
    await using session = await open(failingRun());
    const fed = { x: floats([1, 2]) };
    for (let round = 0; round < 3; round++) {
      await refuses(session, fed, { outputStorage: "shared" }, { name: "OrtError" });
      assert.equal(made(), 0);
    }
  });

  it("leaves nothing of a run that is refused", async () => {
    await using session = await open(state());
    const disposed = nativeFloats([1, 2]);
    disposed[Symbol.dispose]();
    await refuses(session, { x }, { outputStorage: "shared" }, failure("TypeError", "MISSING_FEED"));
    await refuses(session, { x, state: disposed }, { outputStorage: "shared" }, failure("ReferenceError", "DISPOSED"));
  });

  it("leaves nothing of a run that is aborted", async () => {
    const session = await open(slow()), stop = new AbortController(), reason = new Error("changed my mind");
    const options = { outputStorage: "shared", signal: stop.signal } as const;
    const running = Array.from({ length: 4 }, () => session.run(slowFeeds(10_000_000), options));
    stop.abort(reason);
    for (const run of running) await assert.rejects(run, reason);
    await session[Symbol.asyncDispose]();
    assert.equal(made(), 0);
  });
});
