import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { type ModelInfo, models } from "../../mod.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import { increment, ModelFolder, next, record, until } from "./fixtures.ts";
import { RegistryWorker } from "./registry_worker.ts";

const uses = (): number[] => models.list().map(({ referenceCount }) => referenceCount);
const workers = (count: number): RegistryWorker[] => Array.from({ length: count }, () => new RegistryWorker());

afterEach(async () => {
  await until("every Worker's share is given back", async () => {
    await models.clear();
    await models.evictExpired();
    return models.list().length === 0;
  });
  models.configure({ ttlMs: 30_000, maxMemoryBytes: Infinity, evictionPolicy: "lru" });
  nothingLeft();
});

describe("Workers", () => {
  it("and the main thread share one native session, one load and one count", { timeout: 60_000 }, async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx", 500), all = workers(8), before = models.metrics();
    await Promise.all(all.map((worker) => worker.reached("up")));
    const session = await models.load(file), ids = await Promise.all(all.map((worker) => worker.ask("load", file)));
    assert.deepEqual(new Set(ids), new Set([session.id]));
    assert.deepEqual(await Promise.all(all.map((worker) => worker.ask("increment"))), new Array(8).fill(500));
    const { loads, cacheHits, cacheMisses } = models.metrics();
    assert.deepEqual([loads - before.loads, cacheHits - before.cacheHits, cacheMisses - before.cacheMisses], [1, 8, 1]);
    assert.deepEqual(uses(), [9]);
    assert.deepEqual((await all[0]!.ask<ModelInfo[]>("list"))[0], models.list()[0]);
    await Promise.all(all.map((worker) => worker.ask("release")));
    assert.deepEqual(uses(), [1]);
    session[Symbol.dispose]();
    all.forEach((worker) => worker.terminate());
  });

  it("that ask at once make one load, whoever is first", { timeout: 60_000 }, async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx", 2000), all = workers(4), before = models.metrics().loads;
    await Promise.all(all.map((worker) => worker.reached("up")));
    const ids = await Promise.all(all.map((worker) => worker.ask("load", file)));
    assert.equal(new Set(ids).size, 1);
    assert.equal(models.metrics().loads - before, 1);
    all.forEach((worker) => worker.terminate());
  });

  it("that are fresh find by get what the main thread has loaded", async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    const file = folder.model("a.onnx", 3);
    assert.equal(await worker.ask("get", file), undefined);
    using session = await models.load(file);
    assert.equal(await worker.ask("get", file), session.id);
    assert.equal(await worker.ask("increment"), 3);
    assert.deepEqual(uses(), [2]);
  });

  it("find by get the newest model of a file that changed", async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    using old = await models.load(folder.model("a.onnx", 1));
    using changed = await models.load(folder.model("a.onnx", 2));
    assert.equal(await worker.ask("get", folder.join("a.onnx")), changed.id);
    assert.notEqual(changed.id, old.id);
  });

  it("fail with the same error as the one whose load they wait for", async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    const file = folder.model("a.onnx", 20_000);
    const stop = new AbortController(), loading = models.load(file, { key: "it", signal: stop.signal });
    const waiting = worker.ask("load", file, { key: "it" });
    await until("both wait", () => uses()[0] === 2);
    models.configure({ maxMemoryBytes: 1 }); // so that the load fails when it is over
    const error = await loading.then(() => assert.fail("loaded"), (error) => error);
    const { name, code, message } = error;
    await assert.rejects(waiting, { name, code, message });
    assert.equal(code, "MEMORY_BUDGET");
  });

  it("have objects of their own, on one list", async () => {
    using worker = new RegistryWorker();
    const theirs = await worker.ask("object", "tokenizer", 100);
    using ours = await models.getOrLoad("tokenizer", () => ({ model: 5, memoryBytes: 10 }));
    assert.deepEqual([ours.model, await worker.ask("object", "tokenizer", 100)], [5, theirs]);
    assert.deepEqual(models.list().map(({ key, referenceCount }) => [key, referenceCount]).sort(), [
      ["tokenizer", 1],
      ["tokenizer", 2],
    ]);
    assert.equal(models.metrics().totalMemoryBytes, 110);
    worker.terminate();
    await until("the Worker's object is gone", () => models.list().length === 1);
  });

  it("configure for all, and the last one wins", async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    models.configure({ ttlMs: 1000 });
    await worker.ask("configure", { ttlMs: -1, maxMemoryBytes: 1 });
    const file = folder.model("a.onnx");
    await assert.rejects(models.load(file), failure("MemoryError", "MEMORY_BUDGET"));
    models.configure({ maxMemoryBytes: Infinity });
    await worker.ask("load", file);
    await worker.ask("release");
    assert.equal(models.list()[0]!.expiresAt, undefined);
  });

  it("hear of what they did themselves, and of nothing else", async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    const file = folder.model("a.onnx"), seen = record(models, "load", "hit", "evict", "fail");
    await worker.ask("load", file);
    (await models.load(file))[Symbol.dispose]();
    await worker.ask("release");
    assert.deepEqual(await worker.ask("events"), [["load", file]]);
    await models.unload(file);
    await until("the event came", () => seen.length === 2);
    assert.deepEqual(seen, [["hit", file], ["evict", file]]);
    assert.deepEqual(await worker.ask("events"), []);
  });

  it("have one budget: an idle model makes way for another thread's", async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    const [one, two] = [folder.model("one.onnx", 100), folder.model("two.onnx", 100)];
    await worker.ask("load", one);
    models.configure({ maxMemoryBytes: models.metrics().totalMemoryBytes + 10 });
    await assert.rejects(models.load(two), { ...failure("MemoryError", "MEMORY_BUDGET"), availableBytes: 10 });
    await worker.ask("release");
    const evicted = next(models, "evict");
    using _two = await models.load(two);
    assert.deepEqual([(await evicted).key, (await evicted).reason], [one, "budget"]);
    assert.equal(await worker.ask("get", one), undefined);
  });

  it("that never loaded anything evict, unload and cancel what another thread loads", async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    const [one, two, long] = [folder.model("one.onnx"), folder.model("two.onnx"), folder.model("long.onnx", 20_000)];
    (await models.load(one, { ttlMs: -1 }))[Symbol.dispose]();
    assert.equal(await worker.ask("unload", one), true);
    using used = await models.load(two);
    assert.equal(await worker.ask("unload", two), true);
    assert.equal(models.list()[0]!.state, "retired");
    assert.equal(increment(used), 1);
    const stop = new AbortController(), failed = next(models, "fail"), creating = Promise.withResolvers<void>();
    const onProgress = ({ phase }: { phase: string }): void => phase === "create" ? creating.resolve() : undefined;
    const ours = models.load(long, { signal: stop.signal, onProgress }), theirs = worker.ask("load", long);
    await creating.promise;
    await until("both wait", () => uses().includes(2));
    stop.abort();
    await assert.rejects(ours, { name: "AbortError" });
    await worker.ask("abort");
    await assert.rejects(theirs, { name: "AbortError" });
    assert.match(String((await failed).error), /cancel/i);
  });
});
