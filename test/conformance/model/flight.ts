import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Tensor } from "../../../mod.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { add, slow } from "../../support/models.ts";
import { soon } from "../../client/support.ts";
import { failure, floats, nativeZeros, slowFeeds } from "../../support/sessions.ts";
import { type ModelKind, ModelsUnderTest } from "./kind.ts";

const busy = failure("TypeError", "TENSOR_BUSY"), reason = new Error("changed my mind");
/** So many that a run which is not stopped ends long after the test was given up. */
const FOREVER = 10_000_000;

/** The same; that it fails, if it does, is an error where it is awaited only. */
function started<T>(run: Promise<T>): Promise<T> {
  run.catch(() => {});
  return run;
}

/** Waits for the end of a run, whatever that is, before what it uses goes. */
function over(run: Promise<unknown>): AsyncDisposable {
  return { [Symbol.asyncDispose]: () => run.then(() => {}, () => {}) };
}

/** What holds while a run lasts. */
export function flightOf(kind: ModelKind): void {
  describe("a run in flight", () => {
    const models = new ModelsUnderTest(kind, { add: add(), slow: slow() });

    for (const storage of ["native", "shared"] as const) {
      const zeros = (allocator: SharedMemoryAllocator): Tensor<"float32"> =>
        storage === "native" ? nativeZeros("float32", [256]) : allocator.tensor("float32", [256]);

      it(`has a given ${storage} tensor for itself`, async () => {
        using allocator = new SharedMemoryAllocator();
        using y = zeros(allocator);
        const model = models.get("slow"), running = started(model.run(slowFeeds(60), { outputs: { y } }));
        await using _ = over(running);
        assert.throws(() => y.data, busy);
        await assert.rejects(model.run({ ...slowFeeds(1), x: y }), busy);
        await assert.rejects(model.run(slowFeeds(1), { outputs: { y } }), busy);
        await running;
        assert.deepEqual([y.data[60], y.data[61]], [0, 1]);
        await model.run({ ...slowFeeds(1), x: y });
      });

      it(`keeps a given ${storage} tensor that is disposed meanwhile`, async () => {
        using allocator = new SharedMemoryAllocator();
        const y = zeros(allocator), running = started(models.get("slow").run(slowFeeds(60), { outputs: { y } }));
        y[Symbol.dispose]();
        assert.equal(allocator.metrics().tensors, storage === "shared" ? 1 : 0);
        await running;
        assert.equal(allocator.metrics().tensors, 0);
      });
    }

    it("keeps a shared feed that is disposed meanwhile, and lets others read it", async () => {
      using allocator = new SharedMemoryAllocator();
      const { x, iterations } = slowFeeds(60), input = allocator.share(x), model = models.get("slow");
      const running = started(model.run({ x: input, iterations }));
      assert.equal((await model.run({ ...slowFeeds(1), x: input })).y!.data[1], 0);
      input[Symbol.dispose]();
      assert.equal((await running).y!.data[61], 1);
      assert.equal(allocator.metrics().tensors, 0);
    });

    it("does not let go of a shared feed", { skip: !kind.sharesMemory }, async () => {
      using allocator = new SharedMemoryAllocator();
      const { x, iterations } = slowFeeds(60), model = models.get("slow");
      using input = allocator.share(x);
      const running = started(model.run({ x: input, iterations }));
      await using _ = over(running);
      assert.throws(() => input.handOff(), busy);
      await assert.rejects(model.run(slowFeeds(1), { outputs: { y: input } }), busy);
      await running;
    });

    it("that is aborted before it began never runs", async () => {
      const feeds = slowFeeds(FOREVER), model = models.get("slow");
      await assert.rejects(model.run(feeds, { signal: AbortSignal.abort(reason) }), reason);
      await assert.rejects(model.run(feeds, { signal: AbortSignal.abort() }), { name: "AbortError" });
      const stop = new AbortController();
      const late = {
        x: feeds.x,
        get iterations() {
          stop.abort(reason);
          return feeds.iterations;
        },
      };
      await assert.rejects(model.run(late, { signal: stop.signal }), reason);
    });

    it("wants a signal", async () => {
      const feeds = { a: floats([1, 2]), b: floats([1, 2]) }, signal = {} as AbortSignal;
      await assert.rejects(models.get("add").run(feeds, { signal }), failure("TypeError", "INVALID_ARGUMENT"));
    });

    it("may be aborted when it is over", async () => {
      const feeds = { a: floats([1, 2]), b: floats([1, 2]) }, model = models.get("add");
      for (let i = 0; i < 100; i++) {
        const one = new AbortController(), other = new AbortController();
        const first = model.run(feeds, { signal: one.signal }).then(() => other.abort(reason));
        const second = model.run(feeds, { signal: other.signal }).catch((error) => assert.equal(error, reason));
        await Promise.all([first, second]);
        assert.deepEqual([...(await model.run(feeds)).c!.data], [2, 4]);
      }
    });

    it("that is aborted rejects at once with the signal's reason, and the model goes on", async () => {
      const stop = new AbortController(), model = models.get("slow");
      const running = started(model.run(slowFeeds(FOREVER), { signal: stop.signal }));
      const other = model.run(slowFeeds(3));
      stop.abort(reason);
      await assert.rejects(soon(running), reason);
      assert.equal((await soon(other)).y!.data[3], 0);
    });

    it("gives an aborted one's tensors back once C has stopped", async () => {
      using allocator = new SharedMemoryAllocator();
      const { x, iterations } = slowFeeds(FOREVER), model = models.get("slow"), stop = new AbortController();
      const input = allocator.share(x), y = allocator.tensor("float32", [256]);
      const running = started(model.run({ x: input, iterations }, { outputs: { y }, signal: stop.signal }));
      for (const tensor of [input, y]) tensor[Symbol.dispose]();
      stop.abort(reason);
      await assert.rejects(soon(running), reason);
      for (let i = 0; i < 1000 && allocator.metrics().tensors > 0; i++) await soon(model.run(slowFeeds(1)));
      assert.equal(allocator.metrics().tensors, 0);
    });
  });
}
