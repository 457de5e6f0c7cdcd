import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { ModelRegistry, type RegistryEventDetail } from "../../mod.ts";
import { nothingLeft } from "../support/left.ts";
import { manyNodes } from "../support/models.ts";
import { ModelFolder, next, record } from "./fixtures.ts";

const object = (): { model: number; memoryBytes: number } => ({ model: 1, memoryBytes: 10 });

afterEach(nothingLeft);

describe("events", () => {
  it("tell of loads, hits, evictions and failures, in order", async () => {
    await using registry = new ModelRegistry();
    const seen = record(registry, "load", "hit", "evict", "fail");
    const [one, two] = await Promise.all([registry.getOrLoad("a", object), registry.getOrLoad("a", object)]);
    using _three = await registry.getOrLoad("a", object);
    one[Symbol.dispose]();
    two[Symbol.dispose]();
    await assert.rejects(registry.getOrLoad("b", () => Promise.reject(new Error("no"))));
    _three[Symbol.dispose]();
    const evicted = next(registry, "evict");
    await registry.unload("a");
    await evicted;
    assert.deepEqual(seen, [["hit", "a"], ["load", "a"], ["hit", "a"], ["fail", "b"], ["evict", "a"]]);
  });

  it("carry bytes, reason and error", async () => {
    await using registry = new ModelRegistry();
    const [loaded, evicted, failed] = [next(registry, "load"), next(registry, "evict"), next(registry, "fail")];
    (await registry.getOrLoad("a", object, { ttlMs: 0 }))[Symbol.dispose]();
    assert.deepEqual(await loaded, { key: "a", bytes: 10 });
    assert.deepEqual(await evicted, { key: "a", bytes: 10, reason: "ttl" });
    const error = new Error("no");
    await assert.rejects(registry.getOrLoad("b", () => Promise.reject(error)), error);
    assert.deepEqual(await failed, { key: "b", error });
  });

  it("name why a model left", async () => {
    await using registry = new ModelRegistry({ maxMemoryBytes: 10, ttlMs: -1 });
    const reasons: unknown[] = [];
    registry.addEventListener(
      "evict",
      (event) => reasons.push((event as CustomEvent<RegistryEventDetail>).detail.reason),
    );
    for (const key of ["a", "b"]) (await registry.getOrLoad(key, object))[Symbol.dispose]();
    await registry.unload("b");
    (await registry.getOrLoad("c", object))[Symbol.dispose]();
    await registry.clear();
    assert.deepEqual(reasons, ["budget", "unload", "clear"]);
  });

  it("of get are hits", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx");
    await using registry = new ModelRegistry();
    (await registry.load(file))[Symbol.dispose]();
    const hit = next(registry, "hit");
    registry.get(file)![Symbol.dispose]();
    assert.deepEqual(await hit, { key: file });
  });

  it("go to listeners that are objects, once or until they are removed", async () => {
    await using registry = new ModelRegistry();
    const seen: string[] = [], listener = { handleEvent: ({ type }: Event): void => void seen.push(type) };
    registry.addEventListener("load", listener, { once: true });
    registry.addEventListener("hit", listener);
    for (const key of ["a", "b", "a"]) (await registry.getOrLoad(key, object))[Symbol.dispose]();
    registry.removeEventListener("hit", listener);
    (await registry.getOrLoad("a", object))[Symbol.dispose]();
    assert.deepEqual(seen, ["load", "hit"]);
  });

  it("tell what an object's dispose throws or rejects", async () => {
    await using registry = new ModelRegistry();
    for (
      const dispose of [() => {
        throw new Error("no");
      }, () => Promise.reject(new Error("no"))]
    ) {
      (await registry.getOrLoad("a", () => ({ model: 1, dispose })))[Symbol.dispose]();
      const failed = next(registry, "fail");
      assert.equal(await registry.unload("a"), true);
      assert.deepEqual(await failed, { key: "a", error: new Error("no") });
    }
  });
});

describe("metrics", () => {
  it("count from nothing", () => {
    assert.deepEqual(new ModelRegistry().metrics(), {
      totalModels: 0,
      totalMemoryBytes: 0,
      cacheHits: 0,
      cacheMisses: 0,
      hitRate: 0,
      loads: 0,
      evictions: 0,
      loadFailures: 0,
    });
  });

  it("count requests, loads, evictions, failures and bytes", async () => {
    await using registry = new ModelRegistry();
    for (const key of ["a", "b", "a", "a"]) (await registry.getOrLoad(key, object))[Symbol.dispose]();
    await assert.rejects(registry.getOrLoad("c", () => Promise.reject(new Error("no"))));
    await registry.unload("b");
    assert.deepEqual(registry.metrics(), {
      totalModels: 1,
      totalMemoryBytes: 10,
      cacheHits: 2,
      cacheMisses: 3,
      hitRate: 0.4,
      loads: 2,
      evictions: 1,
      loadFailures: 1,
    });
  });
});

describe("list", () => {
  it("says what is kept", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx"), before = Date.now();
    await using registry = new ModelRegistry({ ttlMs: 1000 });
    using _session = await registry.load(file, { graphOptimizationLevel: "basic" });
    (await registry.getOrLoad("tokenizer", object))[Symbol.dispose]();
    const [model, tokenizer] = registry.list();
    assert.equal(model!.key, `${file} [["level","basic"]]`);
    assert.deepEqual([model!.state, model!.referenceCount, model!.expiresAt], ["ready", 1, undefined]);
    assert.ok(model!.lastAccessed >= before && model!.loadedAt >= model!.lastAccessed && model!.loadedAt <= Date.now());
    assert.deepEqual([tokenizer!.key, tokenizer!.referenceCount], ["tokenizer", 0]);
    assert.deepEqual(tokenizer!.memory, { bytes: 10, shared: 0, source: "declared" });
    assert.ok(tokenizer!.expiresAt! >= before + 1000);
  });

  it("names bytes by their digest", async () => {
    await using registry = new ModelRegistry();
    using session = await registry.load(manyNodes(1));
    const [{ key, memory }] = registry.list() as [ReturnType<typeof registry.list>[0]];
    assert.match(key, /^sha256:/);
    assert.deepEqual(memory, { bytes: session.memory.weights, shared: 0, source: session.memory.source });
  });
});
