import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { ModelRegistry, type RegistryOptions } from "../../mod.ts";
import { nothingLeft } from "../support/left.ts";
import { manyNodes, writeWeights } from "../support/models.ts";
import { failure } from "../support/sessions.ts";
import { increment, ModelFolder, next, record } from "./fixtures.ts";

const model = manyNodes(1);

/** A registry that holds idle objects of 100 bytes each, used in this order. */
async function filled(options: RegistryOptions, uses: string): Promise<ModelRegistry> {
  const registry = new ModelRegistry({ ttlMs: -1, ...options });
  for (const key of uses) await hold(registry, key, 100).then((handle) => handle[Symbol.dispose]());
  return registry;
}

const hold = (registry: ModelRegistry, key: string, memoryBytes: number) =>
  registry.getOrLoad(key, () => ({ model: key, memoryBytes }));
const keys = (registry: ModelRegistry): string => registry.list().map(({ key }) => key).sort().join("");

afterEach(nothingLeft);

describe("time to live", () => {
  it("runs from the last release", async () => {
    await using registry = new ModelRegistry({ ttlMs: 60 });
    const [one, two] = [await registry.load(model), await registry.load(model)];
    const evicted = next(registry, "evict");
    one[Symbol.dispose]();
    assert.equal(registry.list()[0]!.expiresAt, undefined);
    const before = Date.now();
    two[Symbol.dispose]();
    assert.ok(registry.list()[0]!.expiresAt! >= before + 60);
    const { key, reason } = await evicted;
    assert.ok(Date.now() >= before + 59);
    assert.match(`${reason} ${key}`, /^ttl sha256:/);
    assert.deepEqual(registry.list(), []);
    assert.equal(registry.metrics().evictions, 1);
  });

  it("starts anew with each use", async () => {
    await using registry = new ModelRegistry({ ttlMs: 40 });
    (await registry.load(model, { key: "it" }))[Symbol.dispose]();
    const session = registry.get("", { key: "it" })!, other = next(registry, "evict", "other");
    (await registry.load(model, { key: "other" }))[Symbol.dispose]();
    await other;
    assert.equal(keys(registry), "it");
    session[Symbol.dispose]();
    assert.equal((await next(registry, "evict")).key, "it");
  });

  it("is the registry's, or the caller's latest", async () => {
    await using registry = new ModelRegistry({ ttlMs: -1 });
    (await registry.load(model, { key: "it", ttlMs: 60_000 }))[Symbol.dispose]();
    const { expiresAt, lastAccessed } = registry.list()[0]!;
    assert.ok(expiresAt! >= lastAccessed + 60_000);
    (await registry.load(model, { key: "it", ttlMs: -1 }))[Symbol.dispose]();
    assert.equal(registry.list()[0]!.expiresAt, undefined);
    const evicted = next(registry, "evict");
    registry.get("", { key: "it", ttlMs: 1 })![Symbol.dispose]();
    assert.equal((await evicted).reason, "ttl");
  });

  it("of -1 is for ever", async () => {
    await using registry = new ModelRegistry({ ttlMs: -1 });
    (await registry.load(model, { key: "it" }))[Symbol.dispose]();
    (await registry.load(model, { key: "other", ttlMs: 1 }))[Symbol.dispose]();
    await next(registry, "evict", "other");
    assert.deepEqual(await registry.evictExpired(), { count: 0, bytes: 0 });
    assert.equal(keys(registry), "it");
  });

  it("of 0 ends at once", async () => {
    await using registry = new ModelRegistry({ ttlMs: 0 });
    const session = await registry.load(model), other = await registry.load(model);
    session[Symbol.dispose]();
    assert.equal(registry.list().length, 1);
    other[Symbol.dispose]();
    assert.deepEqual(registry.list(), []);
  });

  it("holds for objects, which are disposed of", async () => {
    await using registry = new ModelRegistry();
    const disposed: string[] = [];
    const load = () =>
      registry.getOrLoad("it", () => ({ model: "m", dispose: (m) => void disposed.push(m) }), { ttlMs: 1 });
    const evicted = next(registry, "evict");
    (await load())[Symbol.dispose]();
    await evicted;
    assert.deepEqual(disposed, ["m"]);
    (await load())[Symbol.dispose]();
    assert.equal(registry.metrics().loads, 2);
  });

  it("that is over is enforced by evictExpired", async () => {
    await using registry = new ModelRegistry({ ttlMs: 1 });
    using _used = await hold(registry, "used", 10);
    for (const [key, bytes] of [["a", 100], ["b", 200]] as const) (await hold(registry, key, bytes))[Symbol.dispose]();
    const until = Date.now() + 2;
    while (Date.now() < until); // no timer fires meanwhile
    assert.deepEqual(await registry.evictExpired(), { count: 2, bytes: 300 });
    assert.equal(keys(registry), "used");
  });
});

describe("a memory budget", () => {
  it("evicts the least recently used idle model first", async () => {
    await using registry = await filled({ maxMemoryBytes: 300 }, "abca");
    const seen = record(registry, "evict");
    using _d = await hold(registry, "d", 100);
    assert.equal(keys(registry), "acd");
    using _e = await hold(registry, "e", 200);
    assert.equal(keys(registry), "de");
    assert.deepEqual(seen.map(([, key]) => key), ["b", "c", "a"]);
  });

  it("evicts the least frequently used one first, by lfu", async () => {
    await using registry = await filled({ maxMemoryBytes: 300, evictionPolicy: "lfu" }, "aabbbc");
    const evicted = next(registry, "evict");
    using _d = await hold(registry, "d", 200);
    assert.equal((await evicted).reason, "budget");
    assert.equal(keys(registry), "bd");
  });

  it("evicts nothing by none", async () => {
    await using registry = await filled({ maxMemoryBytes: 300, evictionPolicy: "none" }, "abc");
    await assert.rejects(hold(registry, "d", 1), failure("MemoryError", "MEMORY_BUDGET"));
    assert.equal(keys(registry), "abc");
    registry.configure({ evictionPolicy: "lru" });
    (await hold(registry, "d", 1))[Symbol.dispose]();
    assert.equal(keys(registry), "bcd");
  });

  it("refuses what does not fit beside what is used, and evicts nothing in vain", async () => {
    await using registry = await filled({ maxMemoryBytes: 300 }, "ab");
    using _used = await hold(registry, "c", 100);
    const disposed = Promise.withResolvers<number>();
    const refused = registry.getOrLoad("d", () => ({ model: 4, memoryBytes: 201, dispose: disposed.resolve }));
    await assert.rejects(refused, {
      ...failure("MemoryError", "MEMORY_BUDGET", /201 .* 200 of the budget of 300/),
      neededBytes: 201,
      availableBytes: 200,
    });
    assert.equal(await disposed.promise, 4);
    assert.equal(keys(registry), "abc");
    assert.equal(registry.metrics().totalMemoryBytes, 300);
  });

  it("reserves a model's bytes while it loads, and corrects them afterwards", async () => {
    using folder = new ModelFolder();
    const file = folder.join("a.onnx"), { byteLength } = writeWeights({ path: file, byteLength: 1e6 });
    const fileLength = statSync(file).size, free = byteLength / 2;
    await using registry = new ModelRegistry({ maxMemoryBytes: fileLength + free });
    const loading = registry.load(file);
    assert.equal(registry.metrics().totalMemoryBytes, fileLength);
    const large = registry.load(file, { graphOptimizationLevel: "basic" });
    await assert.rejects(large, { ...failure("MemoryError", "MEMORY_BUDGET"), availableBytes: free });
    using session = await loading;
    assert.equal(session.memory.source, "measured");
    assert.equal(registry.metrics().totalMemoryBytes, session.memory.weights);
    assert.ok(session.memory.weights >= byteLength && session.memory.weights < 1.1 * byteLength);
  });

  it("that is too small for a model refuses it, counts that and tells it", async () => {
    await using registry = new ModelRegistry({ maxMemoryBytes: 0 });
    const failed = next(registry, "fail");
    const error = { ...failure("MemoryError", "MEMORY_BUDGET"), neededBytes: model.length, availableBytes: 0 };
    await assert.rejects(registry.load(model), error);
    assert.equal(((await failed).error as { code: string }).code, "MEMORY_BUDGET");
    const { cacheMisses, loadFailures, loads } = registry.metrics();
    assert.deepEqual([cacheMisses, loadFailures, loads], [1, 1, 0]);
    registry.configure({ maxMemoryBytes: Infinity });
    (await registry.load(model))[Symbol.dispose]();
  });

  it("makes a new load wait until the memory is back", async () => {
    await using registry = new ModelRegistry({ maxMemoryBytes: 1000, ttlMs: -1 });
    let isFree = false;
    const dispose = (): Promise<void> => Promise.resolve().then(() => void (isFree = true));
    (await registry.getOrLoad("a", () => ({ model: 1, memoryBytes: 1000, dispose })))[Symbol.dispose]();
    await using session = await registry.load(model);
    assert.equal(increment(session), 1);
    assert.ok(isFree);
  });
});

describe("unload", () => {
  it("lets an idle model go, by what list says or by its path", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx");
    await using registry = new ModelRegistry({ ttlMs: -1 });
    const seen = record(registry, "evict");
    for (const options of [{}, { graphOptimizationLevel: "basic" }] as const) {
      (await registry.load(file, options))[Symbol.dispose]();
      assert.equal(await registry.unload(registry.list()[0]!.key), true);
      assert.deepEqual(registry.list(), []);
    }
    (await registry.load(file))[Symbol.dispose]();
    assert.equal(await registry.unload(file), true);
    assert.equal(await registry.unload(file), false);
    assert.equal(seen.length, 3);
  });

  it("retires one that is used: it works until its last dispose, and a new request loads anew", async () => {
    await using registry = new ModelRegistry();
    const [one, two] = [await registry.load(model, { key: "it" }), await registry.load(model, { key: "it" })];
    const seen = record(registry, "evict");
    assert.equal(await registry.unload("it"), true);
    assert.equal(registry.get("", { key: "it" }), undefined);
    assert.equal(registry.list()[0]!.state, "retired");
    assert.equal(increment(one), 1);
    using other = await registry.load(model, { key: "it" });
    assert.notEqual(other.id, one.id);
    one[Symbol.dispose]();
    assert.equal(increment(two), 1);
    await two[Symbol.asyncDispose]();
    assert.deepEqual(registry.list().map(({ state }) => state), ["ready"]);
    assert.deepEqual(seen, [["evict", "it"]]);
  });

  it("of a model that is being loaded lets those who wait have it", async () => {
    await using registry = new ModelRegistry();
    const loading = registry.load(model, { key: "it" }), listed = new Promise((resolve) => setTimeout(resolve));
    await listed;
    if (registry.list().length === 0) await next(registry, "load");
    assert.equal(await registry.unload("it"), true);
    const session = await loading;
    assert.equal(registry.list()[0]!.state, "retired");
    session[Symbol.dispose]();
    assert.deepEqual(registry.list(), []);
  });

  it("resolves when an object's dispose has", async () => {
    await using registry = new ModelRegistry();
    let isOver = false;
    const dispose = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve));
      isOver = true;
    };
    (await registry.getOrLoad("it", () => ({ model: 1, dispose })))[Symbol.dispose]();
    assert.equal(await registry.unload("it"), true);
    assert.ok(isOver);
  });

  it("of everything is clear", async () => {
    await using registry = await filled({}, "abc");
    using used = await hold(registry, "d", 100);
    await registry.clear();
    assert.deepEqual(registry.list().map(({ key, state }) => [key, state]), [["d", "retired"]]);
    assert.equal(used.model, "d");
    assert.equal(registry.metrics().evictions, 3);
  });
});

describe("a registry that is disposed of", () => {
  it("refuses new requests; its references go on until they are disposed of", async () => {
    const registry = new ModelRegistry(), session = await registry.load(model);
    await registry[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
    assert.equal(increment(session), 1);
    for (const use of [() => registry.get("a"), () => registry.list(), () => registry.metrics()]) {
      assert.throws(use, failure("ReferenceError", "DISPOSED"));
    }
    await session[Symbol.asyncDispose]();
  });

  it("before its first use is none", async () => {
    const registry = new ModelRegistry({ ttlMs: 1 });
    await registry[Symbol.asyncDispose]();
  });
});

describe("options", () => {
  const wrong: [RegistryOptions, string, string][] = [
    [{ ttlMs: -2 }, "RangeError", "OUT_OF_RANGE"],
    [{ ttlMs: NaN }, "RangeError", "OUT_OF_RANGE"],
    [{ maxMemoryBytes: -1 }, "RangeError", "OUT_OF_RANGE"],
    [{ maxMemoryBytes: NaN }, "RangeError", "OUT_OF_RANGE"],
    [{ evictionPolicy: "fifo" as "lru" }, "TypeError", "INVALID_ARGUMENT"],
  ];
  for (const [options, name, code] of wrong) {
    it(`refuse ${Object.entries(options)}`, async () => {
      assert.throws(() => new ModelRegistry(options), failure(name, code));
      await using registry = new ModelRegistry();
      assert.throws(() => registry.configure(options), failure(name, code));
    });
  }
});
