import assert from "node:assert/strict";
import { linkSync, renameSync, symlinkSync, utimesSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { ModelRegistry, type SessionOptions } from "../../mod.ts";
import { nothingLeft } from "../support/left.ts";
import { add, manyNodes } from "../support/models.ts";
import { failure } from "../support/sessions.ts";
import { increment, ModelFolder } from "./fixtures.ts";

/** How many models a registry loads for some requests. */
async function loadsFor(
  requests: readonly [string | URL | Uint8Array, (SessionOptions & { key?: string })?][],
): Promise<number> {
  await using registry = new ModelRegistry();
  for (const [model, options] of requests) (await registry.load(model, options))[Symbol.dispose]();
  return registry.metrics().loads;
}

afterEach(nothingLeft);

describe("one model", () => {
  it("is a file by whatever path", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx"), link = folder.join("link.onnx"), hard = folder.join("hard.onnx");
    symlinkSync(file, link);
    linkSync(file, hard);
    const ways = [
      file,
      path.relative(process.cwd(), file),
      folder.join(".", "a.onnx"),
      link,
      hard,
      pathToFileURL(file),
    ];
    assert.equal(await loadsFor(ways.map((way) => [way])), 1);
  });

  it("has its default options spelled out or not", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx"),
      defaults: SessionOptions = {
        executionMode: "sequential",
        graphOptimizationLevel: "all",
        enableCpuMemArena: true,
        enableProfiling: false,
        executionProviders: ["cpu"],
        freeDimensionOverrides: {},
        extra: {},
      };
    const quiet = { logSeverityLevel: 3, onProgress: () => {}, signal: new AbortController().signal } as const;
    assert.equal(await loadsFor([[file], [file, {}], [file, defaults], [file, quiet]]), 1);
  });

  it("has its options in any order", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx"), [one, other] = [{ N: 3, M: 4 }, { M: 4, N: 3 }];
    assert.equal(
      await loadsFor([[file, { freeDimensionOverrides: one }], [file, { freeDimensionOverrides: other }]]),
      1,
    );
  });

  it("is bytes that are equal, whoever holds them", async () => {
    await using registry = new ModelRegistry();
    using one = await registry.load(add());
    using other = await registry.load(add());
    assert.equal(one.id, other.id);
    assert.match(registry.list()[0]!.key, /^sha256:[0-9a-f]{64}$/);
  });

  it("is what a caller gives one key, without a look at the disk", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx"), key = "mine";
    await using registry = new ModelRegistry();
    using one = await registry.load(file, { key });
    using other = await registry.load(folder.join("none.onnx"), { key, intraOpNumThreads: 1 });
    assert.equal(one.id, other.id);
    assert.equal(registry.list()[0]!.key, key);
    assert.equal(await loadsFor([[add(), { key }], [file, { key }]]), 1);
  });
});

describe("another model", () => {
  it("has other options", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx");
    const others: (SessionOptions & { key?: string })[] = [
      { graphOptimizationLevel: "basic" },
      { enableCpuMemArena: false },
      { intraOpNumThreads: 1 },
      { freeDimensionOverrides: { N: 2 } },
      { extra: { "session.dynamic_block_base": "4" } },
      { key: file },
    ];
    assert.equal(await loadsFor([[file], ...others.map((other) => [file, other] as [string, SessionOptions])]), 7);
  });

  it("has other bytes", async () => {
    assert.equal(await loadsFor([[manyNodes(1)], [manyNodes(2)]]), 2);
  });

  it("is a file that was replaced; references keep the old one", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx", 1);
    await using registry = new ModelRegistry();
    using old = await registry.load(file);
    renameSync(folder.model("b.onnx", 2), file);
    using changed = await registry.load(file);
    assert.deepEqual([increment(old), increment(changed)], [1, 2]);
    assert.notEqual(old.id, changed.id);
    assert.equal(registry.list().length, 2);
    using found = registry.get(file);
    assert.equal(increment(found!), 2);
  });

  it("is a file that was written in place, by its time or length", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx", 1);
    await using registry = new ModelRegistry();
    using _old = await registry.load(file);
    folder.model("a.onnx", 2);
    using longer = await registry.load(file);
    assert.equal(increment(longer), 2);
    utimesSync(file, 1, 1);
    using touched = await registry.load(file);
    assert.notEqual(touched.id, longer.id);
  });
});

describe("get", () => {
  it("finds what was loaded by the path as given, relative or a URL, and its options", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx"), relative = path.relative(process.cwd(), file);
    await using registry = new ModelRegistry();
    using one = await registry.load(relative, { graphOptimizationLevel: "basic" });
    assert.equal(registry.get(relative), undefined);
    assert.equal(registry.get(file, { graphOptimizationLevel: "basic" }), undefined);
    using found = registry.get(relative, { graphOptimizationLevel: "basic", executionMode: "sequential" });
    assert.equal(found!.id, one.id);
    using two = await registry.load(pathToFileURL(file));
    using same = registry.get(pathToFileURL(file));
    using byPath = registry.get(file);
    assert.deepEqual([same!.id, byPath!.id], [two.id, two.id]);
  });

  it("knows every path that its thread has loaded a model by", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx"), link = folder.join("link.onnx");
    symlinkSync(file, link);
    await using registry = new ModelRegistry();
    for (const way of [file, link]) (await registry.load(way))[Symbol.dispose]();
    for (const way of [file, link]) registry.get(way)![Symbol.dispose]();
    assert.deepEqual([registry.metrics().cacheHits, registry.list()[0]!.referenceCount], [3, 0]);
  });

  it("finds by key", async () => {
    await using registry = new ModelRegistry();
    using one = await registry.load(add(), { key: "adder" });
    using found = registry.get("whatever", { key: "adder" });
    assert.equal(found!.id, one.id);
    assert.equal(registry.get("adder"), undefined);
  });

  it("never loads, and a miss is no request", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx");
    await using registry = new ModelRegistry();
    assert.equal(registry.get(file), undefined);
    assert.equal(registry.get("/no/such/file"), undefined);
    const loading = registry.load(file);
    assert.equal(registry.get(file), undefined);
    (await loading)[Symbol.dispose]();
    const { cacheHits, cacheMisses, loads } = registry.metrics();
    assert.deepEqual({ cacheHits, cacheMisses, loads }, { cacheHits: 0, cacheMisses: 1, loads: 1 });
  });

  it("finds no more what was evicted", async () => {
    using folder = new ModelFolder();
    const file = folder.model("a.onnx");
    await using registry = new ModelRegistry();
    (await registry.load(file))[Symbol.dispose]();
    await registry.unload(file);
    assert.equal(registry.get(file), undefined);
  });
});

describe("what names no model", () => {
  const wrong: [string, unknown, unknown, object][] = [
    ["a number", 5, {}, failure("TypeError", "INVALID_ARGUMENT")],
    ["a web address", new URL("https://example.com/a.onnx"), {}, failure("TypeError", "INVALID_ARGUMENT")],
    ["nothing", "", {}, failure("TypeError", "INVALID_ARGUMENT")],
    ["a missing file", "/no/such/file.onnx", {}, failure("OrtError", "MODEL_NOT_FOUND", /\/no\/such\/file/)],
    ["a directory", "/tmp", {}, failure("OrtError", "MODEL_NOT_FOUND", /directory/)],
    ["an empty file", "/dev/null", {}, failure("OrtError", "MODEL_NOT_FOUND")],
    ["an unknown option", add(), { threads: 2 }, failure("TypeError", "INVALID_ARGUMENT", /"threads"/)],
    ["no list of providers", add(), { executionProviders: "cpu" }, failure("TypeError", "INVALID_ARGUMENT")],
    ["an empty key", add(), { key: "" }, failure("TypeError", "INVALID_ARGUMENT")],
    ["a ttl below -1", add(), { ttlMs: -2 }, failure("RangeError", "OUT_OF_RANGE")],
    ["a ttl that is no number", add(), { ttlMs: NaN }, failure("RangeError", "OUT_OF_RANGE")],
  ];
  for (const [what, model, options, error] of wrong) {
    it(what, async () => {
      await using registry = new ModelRegistry();
      await assert.rejects(registry.load(model as string, options as SessionOptions), error);
      assert.deepEqual(registry.list(), []);
    });
  }
});
