import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { type LoadProgress, MemoryError, ModelRegistry } from "../../mod.ts";
import { nothingLeft } from "../support/left.ts";
import { manyNodes } from "../support/models.ts";
import { failure } from "../support/sessions.ts";
import { increment, ModelFolder, next, record, until } from "./fixtures.ts";

const reason = new Error("changed my mind");
/** A model whose session takes long enough to be waited for. */
const long = manyNodes(8000);

/** The reasons of all rejections. */
async function reasons(promises: Promise<unknown>[]): Promise<unknown[]> {
  return (await Promise.allSettled(promises)).map((settled) => settled.status === "rejected" ? settled.reason : "none");
}

afterEach(nothingLeft);

describe("a load", () => {
  it("is one for 1,000 who ask at once", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx");
    await using registry = new ModelRegistry();
    const sessions = await Promise.all(Array.from({ length: 1000 }, () => registry.load(file)));
    assert.equal(new Set(sessions.map(({ id }) => id)).size, 1);
    assert.equal(registry.list()[0]!.referenceCount, 1000);
    const { loads, cacheHits, cacheMisses } = registry.metrics();
    assert.deepEqual({ loads, cacheHits, cacheMisses }, { loads: 1, cacheHits: 999, cacheMisses: 1 });
    sessions.forEach((session) => session[Symbol.dispose]());
    assert.equal(registry.list()[0]!.referenceCount, 0);
  });

  it("is one for each of 1,000 keys at once", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx");
    await using registry = new ModelRegistry();
    const sessions = await Promise.all(Array.from({ length: 1000 }, (_, i) => registry.load(file, { key: `${i}` })));
    assert.equal(new Set(sessions.map(({ id }) => id)).size, 1000);
    assert.equal(registry.metrics().loads, 1000);
    sessions.forEach((session) => session[Symbol.dispose]());
    await registry.clear();
    assert.deepEqual(registry.list(), []);
  });

  it("tells its phases to the one who began it", async () => {
    const phases: LoadProgress[] = [], bytes = manyNodes(1);
    await using registry = new ModelRegistry();
    using _one = await registry.load(bytes, { onProgress: (progress) => phases.push(progress) });
    assert.deepEqual(phases.map(({ phase }) => phase), ["find", "read", "create", "ready"]);
    assert.equal(phases.at(-1)!.totalBytes, bytes.length);
  });

  it("shows itself while it goes on", async () => {
    await using registry = new ModelRegistry();
    const loading = registry.load(long, { key: "long" });
    await until("it is listed", () => registry.list().length > 0);
    const [info] = registry.list();
    assert.deepEqual({ ...info, lastAccessed: 0 }, {
      key: "long",
      state: "loading",
      memory: { bytes: long.length, shared: 0, source: "estimated" },
      referenceCount: 1,
      loadedAt: 0,
      lastAccessed: 0,
      expiresAt: undefined,
    });
    (await loading)[Symbol.dispose]();
  });
});

describe("a load that fails", () => {
  it("fails all who wait with one error, and the next call tries again", async () => {
    using folder = new ModelFolder();
    const file = folder.join("a.onnx");
    writeFileSync(file, "no model");
    await using registry = new ModelRegistry();
    const errors = await reasons(Array.from({ length: 5 }, () => registry.load(file, { key: "same" })));
    assert.equal(new Set(errors).size, 1);
    assert.equal((errors[0] as { code: string }).code, "MODEL_INVALID");
    assert.deepEqual(registry.list(), []);
    folder.model("a.onnx", 3);
    using session = await registry.load(file, { key: "same" });
    assert.equal(increment(session), 3);
    const { loads, loadFailures, cacheHits, cacheMisses } = registry.metrics();
    assert.deepEqual([loads, loadFailures, cacheHits, cacheMisses], [1, 1, 4, 2]);
  });

  it("says what is wrong with this model, not with the one before", async () => {
    using folder = new ModelFolder();
    await using registry = new ModelRegistry();
    for (const name of ["one.onnx", "two.onnx"]) {
      writeFileSync(folder.join(name), "no model");
      await assert.rejects(registry.load(folder.join(name)), failure("OrtError", "MODEL_INVALID", new RegExp(name)));
    }
  });

  it("by what its loader throws, rejects, or does not return", async () => {
    await using registry = new ModelRegistry();
    const load = (loader: unknown): Promise<unknown> => registry.getOrLoad("it", loader as () => { model: unknown });
    await assert.rejects(
      load(() => {
        throw reason;
      }),
      reason,
    );
    await assert.rejects(load(() => Promise.reject(reason)), reason);
    const nothing = failure("NativeError", "LOADER_FAILED", /"it"/);
    for (const returned of [undefined, null, 5, {}, { model: undefined }]) {
      await assert.rejects(load(() => returned), nothing);
    }
    for (const memoryBytes of [-1, NaN, Infinity]) {
      await assert.rejects(load(() => ({ model: 1, memoryBytes })), nothing);
    }
    assert.deepEqual(registry.list(), []);
    using handle = await registry.getOrLoad("it", () => ({ model: "at last" }));
    assert.equal(handle.model, "at last");
  });

  it("fails all who wait for a loader with what it threw, be it no error", async () => {
    await using registry = new ModelRegistry();
    const all = [1, 2, 3].map(() => registry.getOrLoad("it", () => Promise.reject("a word")));
    assert.deepEqual(await reasons(all), ["a word", "a word", "a word"]);
  });

  it("for lack of memory is tried again once idle models made way", async () => {
    await using registry = new ModelRegistry();
    (await registry.load(manyNodes(1), { key: "idle" }))[Symbol.dispose]();
    const seen = record(registry, "evict", "fail");
    let tries = 0;
    using handle = await registry.getOrLoad("large", () => {
      if (++tries === 1) throw new MemoryError("OUT_OF_MEMORY", "Cannot load: there is no memory left");
      return { model: tries };
    });
    assert.equal(handle.model, 2);
    assert.deepEqual(seen, [["evict", "idle"]]);
    await assert.rejects(
      registry.getOrLoad("larger", () => {
        throw new MemoryError("OUT_OF_MEMORY", "Cannot load");
      }),
      failure("MemoryError", "OUT_OF_MEMORY"),
    );
  });
});

describe("an abort", () => {
  it("before the load begins nothing", async () => {
    await using registry = new ModelRegistry();
    const signal = AbortSignal.abort(reason);
    await assert.rejects(registry.load("/no/such/file", { signal }), reason);
    await assert.rejects(registry.getOrLoad("it", () => ({ model: 1 }), { signal }), reason);
    assert.equal(registry.metrics().cacheMisses, 0);
  });

  it("lets one waiter leave alone", async () => {
    await using registry = new ModelRegistry();
    const stop = new AbortController();
    const first = registry.load(long, { key: "long", signal: stop.signal }),
      second = registry.load(long, { key: "long" });
    await until("both wait", () => registry.list()[0]?.referenceCount === 2);
    stop.abort(reason);
    await assert.rejects(first, reason);
    assert.equal(registry.list()[0]!.referenceCount, 1);
    using session = await second;
    assert.equal(increment(session), 8000);
    assert.equal(registry.metrics().loads, 1);
  });

  it("of the last one stops onnxruntime, and the next call loads anew", async () => {
    await using registry = new ModelRegistry();
    const stops = [new AbortController(), new AbortController()], failed = next(registry, "fail");
    const waiting = stops.map(({ signal }) => registry.load(long, { key: "long", signal, onProgress: begun }));
    await creating.promise;
    stops.forEach((stop) => stop.abort(reason));
    assert.deepEqual(await reasons(waiting), [reason, reason]);
    const again = registry.load(long, { key: "long" });
    assert.match(String((await failed).error), /cancel/i);
    using session = await again;
    assert.equal(increment(session), 8000);
    assert.deepEqual([registry.metrics().loads, registry.metrics().loadFailures], [1, 1]);
    assert.equal(registry.list().length, 1);
  });

  it("before the loader's turn leaves it uncalled", async () => {
    await using registry = new ModelRegistry();
    const stop = new AbortController(), loader = (): never => assert.fail("called");
    const waiting = registry.getOrLoad("it", loader, { signal: stop.signal });
    stop.abort(reason);
    await assert.rejects(waiting, reason);
    using _next = await registry.getOrLoad("it", () => ({ model: 1 }));
    assert.equal(registry.metrics().loadFailures, 0);
  });

  it("frees the key of a loader that never returns, whose signal aborts", async () => {
    await using registry = new ModelRegistry();
    const stop = new AbortController(), told = Promise.withResolvers<unknown>();
    const called = Promise.withResolvers<void>();
    const waiting = registry.getOrLoad("it", (signal) => {
      signal.addEventListener("abort", () => told.resolve(signal.reason));
      called.resolve();
      return new Promise<never>(() => {});
    }, { signal: stop.signal });
    await called.promise;
    stop.abort(reason);
    await assert.rejects(waiting, reason);
    assert.equal((await told.promise as Error).name, "AbortError");
    assert.deepEqual(registry.list(), []);
    using handle = await registry.getOrLoad("it", () => ({ model: 1 }));
    assert.equal(handle.model, 1);
  });

  it("has what a loader returns too late disposed of", async () => {
    await using registry = new ModelRegistry();
    const stop = new AbortController(), loaded = Promise.withResolvers<{ model: string }>();
    const disposed = Promise.withResolvers<string>();
    const called = Promise.withResolvers<void>();
    const waiting = registry.getOrLoad("it", async () => {
      called.resolve();
      return { ...await loaded.promise, dispose: disposed.resolve };
    }, { signal: stop.signal });
    await called.promise;
    stop.abort(reason);
    await assert.rejects(waiting, reason);
    loaded.resolve({ model: "late" });
    assert.equal(await disposed.promise, "late");
    assert.equal(registry.metrics().loads, 0);
  });

  it("after the load changes nothing", async () => {
    await using registry = new ModelRegistry();
    const stop = new AbortController();
    using session = await registry.load(manyNodes(1), { signal: stop.signal });
    stop.abort(reason);
    assert.equal(increment(session), 1);
    assert.equal(registry.list()[0]!.referenceCount, 1);
  });

  it("of a load whose registry is disposed of meanwhile is harmless", async () => {
    const registry = new ModelRegistry(), stop = new AbortController(), late = Promise.withResolvers<{ model: 1 }>();
    const called = Promise.withResolvers<void>();
    const waiting = registry.getOrLoad("it", () => (called.resolve(), late.promise), { signal: stop.signal });
    await called.promise;
    stop.abort(reason);
    await assert.rejects(waiting, reason);
    await registry[Symbol.asyncDispose]();
    late.resolve({ model: 1 });
    await late.promise;
    await assert.rejects(registry.load(manyNodes(1)), failure("ReferenceError", "DISPOSED"));
  });
});

const creating = Promise.withResolvers<void>();
const begun = ({ phase }: LoadProgress): void => phase === "create" ? creating.resolve() : undefined;
