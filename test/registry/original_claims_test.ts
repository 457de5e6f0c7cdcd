import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type InferenceSession, ModelRegistry, models } from "../../mod.ts";
import { runChild } from "../support/child.ts";
import { add, writeWeights } from "../support/models.ts";
import { increment, ModelFolder } from "./fixtures.ts";
import { RegistryWorker } from "./registry_worker.ts";

interface Processor {
  prepare(text: string): number[];
}

const loadProcessor = (): { model: Processor } => ({
  model: { prepare: (text) => [...text].map((c) => c.charCodeAt(0)) },
});

/** Bytes that a process takes with so many nodes on one model. */
async function memory(path: string, sharing: "shared" | "separate", nodes: number): Promise<number> {
  const script = new URL("./children/nodes.ts", import.meta.url);
  const { stdout, stderr } = await runChild(script, [path, sharing, String(nodes)]);
  assert.match(stdout, /^\d+\nEND\n$/, stderr);
  return parseInt(stdout);
}

describe("what the Python original claims", () => {
  it("two nodes have one instance of model and processor: 2 loads, 50 % hits", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx");
    await using registry = new ModelRegistry();
    using model1 = await registry.load(file);
    using processor1 = await registry.getOrLoad("processor", loadProcessor);
    using model2 = await registry.load(file);
    using processor2 = await registry.getOrLoad("processor", loadProcessor);
    assert.equal(model1.id, model2.id);
    assert.equal(processor1.model, processor2.model);
    const { loads, hitRate, totalModels } = registry.metrics();
    assert.deepEqual({ loads, hitRate, totalModels }, { loads: 2, hitRate: 0.5, totalModels: 2 });
  });

  it("five concurrent requests are one load", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx");
    await using registry = new ModelRegistry();
    let called = 0;
    const load = () => registry.getOrLoad("processor", () => (called++, loadProcessor()));
    const sessions = await Promise.all(Array.from({ length: 5 }, () => registry.load(file)));
    const handles = await Promise.all(Array.from({ length: 5 }, load));
    assert.equal(new Set(sessions.map(({ id }) => id)).size, 1);
    assert.deepEqual([called, registry.metrics().loads], [1, 2]);
    for (const held of [...sessions, ...handles]) held[Symbol.dispose]();
  });

  it("three nodes on one model of 200 MB save over 60 % of the memory", { timeout: 60_000 }, async () => {
    using folder = new ModelFolder();
    const { path } = writeWeights({ path: folder.join("large.onnx"), byteLength: 2e8 });
    const base = await memory(path, "shared", 0);
    const shared = await memory(path, "shared", 3) - base, separate = await memory(path, "separate", 3) - base;
    assert.ok(separate > 5.9e8, `three separate sessions take ${separate} bytes`);
    assert.ok(1 - shared / separate > 0.6, `${shared} bytes shared, ${separate} separate`);
  });

  it("100 requests of a model that is there are 100 hits on one session", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx");
    await using registry = new ModelRegistry();
    using first = await registry.load(file);
    for (let i = 0; i < 100; i++) {
      using session: InferenceSession = i % 2 ? await registry.load(file) : registry.get(file)!;
      assert.equal(session.id, first.id);
      assert.equal(increment(session), 1);
    }
    const { cacheHits, cacheMisses, loads } = registry.metrics();
    assert.deepEqual({ cacheHits, cacheMisses, loads }, { cacheHits: 100, cacheMisses: 1, loads: 1 });
  });

  it("there is one registry, in Workers too", async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    const file = folder.model("a.onnx"), again = (await import("../../mod.ts")).models;
    assert.equal(again, models);
    using session = await again.load(file);
    assert.equal(await worker.ask("load", file), session.id);
    assert.equal(models.list().find(({ key }) => key === file)!.referenceCount, 2);
    await worker.ask("release");
    session[Symbol.dispose]();
    await models.clear();
  });
});

describe("memory of a model that leaves", () => {
  for (const how of ["unload", "ttl 0"]) {
    it(`goes back to the system, by ${how}`, { timeout: 60_000 }, async () => {
      using folder = new ModelFolder();
      const { path } = writeWeights({ path: folder.join("a.onnx"), byteLength: 6e7 });
      const { stdout, stderr } = await runChild(new URL("./children/unload.ts", import.meta.url), [path, how]);
      assert.match(stdout, /^held \d+ left -?\d+\nEND\n$/, stderr);
      const [, held, left] = /held (\d+) left (-?\d+)/.exec(stdout)!.map(Number);
      assert.ok(held! > 55 && left! < 6, stdout);
    });
  }

  it("counts no more", async () => {
    await using registry = new ModelRegistry({ ttlMs: 0 });
    (await registry.load(add()))[Symbol.dispose]();
    assert.equal(registry.metrics().totalMemoryBytes, 0);
  });
});
