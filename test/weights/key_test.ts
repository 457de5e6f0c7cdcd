import assert from "node:assert/strict";
import { appendFileSync, copyFileSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { after, afterEach, before, describe, it } from "node:test";
import { createHash } from "node:crypto";
import { ort, startOrt } from "../../src/ort/environment.ts";
import type { NativeSessionOptions } from "../../src/ort/session_options.ts";
import { WeightsCache } from "../../src/weights/cache.ts";
import { inventory } from "../../src/weights/inventory.ts";
import {
  difference,
  type KeyFields,
  keyFields,
  keyOf,
  platform,
  RECIPE,
  whyNotShareable,
} from "../../src/weights/key.ts";
import { readCopy } from "../../src/weights/manifest.ts";
import type { Prepared } from "../../src/weights/prepare.ts";
import { refused } from "../memory/peers/peer.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import type { Step } from "./children/request.ts";
import { inChild, otherProcessor, prepareIn, type ScratchFolder, scratchFolder, smallModel } from "./support.ts";

const FIELDS: KeyFields = {
  recipe: 1,
  mode: "prepacked",
  source: { model: "m", external: [["weights.bin", "e"]] },
  library: { version: "1.30.0", build: "b", digest: "d" },
  processor: { architecture: "x64", model: "AuthenticAMD 25 17", features: ["avx", "avx2"] },
  providers: ["CPUExecutionProvider"],
  options: { level: "all", dimensions: [["batch", 1]], extra: [["session.set_denormal_as_zero", "1"]] },
};

const { source, library, processor, options } = FIELDS;
const CHANGES: Readonly<Record<string, Partial<KeyFields>>> = {
  "the recipe": { recipe: 2 },
  "the mode": { mode: "mapped" },
  "the model": { source: { ...source, model: "other" } },
  "the name of external data": { source: { ...source, external: [["other.bin", "e"]] } },
  "the content of external data": { source: { ...source, external: [["weights.bin", "other"]] } },
  "no external data": { source: { ...source, external: [] } },
  "more external data": { source: { ...source, external: [...source.external, ["other.bin", "e"]] } },
  "onnxruntime's version": { library: { ...library, version: "1.31.0" } },
  "onnxruntime's build": { library: { ...library, build: "other" } },
  "onnxruntime's bytes": { library: { ...library, digest: "other" } },
  "the architecture": { processor: { ...processor, architecture: "arm64" } },
  "the processor's model": { processor: { ...processor, model: "GenuineIntel 6 85" } },
  "a feature less": { processor: { ...processor, features: ["avx"] } },
  "a feature more": { processor: { ...processor, features: ["avx", "avx2", "avx512f"] } },
  "the providers": { providers: ["Other", "CPUExecutionProvider"] },
  "the level": { options: { ...options, level: "basic" } },
  "a dimension's size": { options: { ...options, dimensions: [["batch", 2]] } },
  "a dimension's name": { options: { ...options, dimensions: [["rows", 1]] } },
  "an entry's value": { options: { ...options, extra: [["session.set_denormal_as_zero", "0"]] } },
  "no entry": { options: { ...options, extra: [] } },
};

describe("a key", () => {
  it("is the same for the same", () => {
    assert.match(keyOf(FIELDS), /^[0-9a-f]{64}$/);
    assert.equal(keyOf(FIELDS), keyOf(structuredClone(FIELDS)));
  });

  for (const [what, change] of Object.entries(CHANGES)) {
    it(`is another with ${what}`, () => assert.notEqual(keyOf({ ...FIELDS, ...change }), keyOf(FIELDS)));
  }

  const keyWith = (options: NativeSessionOptions): string => keyOf(keyFields("prepacked", source, options, FIELDS));

  it("is the same with other threads, and what else leaves a graph as it is", () => {
    const alike: NativeSessionOptions[] = [
      { intraOpNumThreads: 3, interOpNumThreads: 2 },
      { intraOpNumThreads: 1, extra: { "session.intra_op.allow_spinning": "1", "session.force_spinning_stop": "1" } },
      { intraOpNumThreads: 2, extra: { "session.intra_op_thread_affinities": "1" } },
      { enableCpuMemArena: false, logSeverityLevel: 2, executionMode: "parallel", enableProfiling: true },
      { graphOptimizationLevel: "all", freeDimensionOverrides: {}, extra: {}, executionProviders: ["cpu"] },
    ];
    for (const options of alike) assert.equal(keyWith(options), keyWith({}), JSON.stringify(options));
  });

  it("is the same in whatever order options are given", () => {
    const one = { freeDimensionOverrides: { a: 1, b: 2 }, extra: { "optimization.x": "1", "session.y": "2" } };
    const other = { freeDimensionOverrides: { b: 2, a: 1 }, extra: { "session.y": "2", "optimization.x": "1" } };
    assert.equal(keyWith(one), keyWith(other));
    assert.notEqual(keyWith(one), keyWith({ ...one, freeDimensionOverrides: { a: 2, b: 1 } }));
  });

  it("is another with each option that changes a graph", () => {
    const apart: NativeSessionOptions[] = [
      {},
      { graphOptimizationLevel: "basic" },
      { graphOptimizationLevel: "disabled" },
      { freeDimensionOverrides: { batch: 1 } },
      { extra: { "optimization.disable_specified_optimizers": "ConstantFolding" } },
      { extra: { "session.set_denormal_as_zero": "1" } },
    ];
    assert.equal(new Set(apart.map(keyWith)).size, apart.length);
  });

  it("is not made for what cannot be shared", () => {
    assert.equal(whyNotShareable({}), undefined);
    assert.match(whyNotShareable({ executionProviders: ["cuda"] })!, /another execution provider was asked for/);
    assert.match(
      whyNotShareable({ extra: { "session.disable_prepacking": "1" } })!,
      /^extra "session.disable_prepacking" says/,
    );
  });

  it("is told apart in words", () => {
    const words: [Partial<KeyFields>, string | undefined][] = [
      [{}, undefined],
      [{ recipe: RECIPE + 1 }, "made by a newer Coload"],
      [{ recipe: RECIPE - 1 }, "made by an older Coload"],
      [CHANGES["onnxruntime's version"]!, "made with onnxruntime 1.31.0, not 1.30.0"],
      [CHANGES["onnxruntime's bytes"]!, "made with another build of onnxruntime 1.30.0"],
      [CHANGES["onnxruntime's build"]!, "made with another build of onnxruntime 1.30.0"],
      [CHANGES["the architecture"]!, "made on arm64"],
      [CHANGES["a feature more"]!, "made on a processor with avx512f, which this one is without"],
      [CHANGES["a feature less"]!, "made on a processor without avx2, which this one has"],
      [CHANGES["the processor's model"]!, "made on a processor of another model"],
    ];
    for (const [change, expected] of words) {
      assert.equal(difference({ ...FIELDS, ...change }, FIELDS), expected, JSON.stringify(change));
    }
  });
});

describe("a prepared copy", () => {
  let folder: ScratchFolder, cacheDir = "", cache: WeightsCache, model = "", prepared: Prepared;

  before(async () => {
    folder = scratchFolder();
    cacheDir = folder.join("cache");
    cache = WeightsCache.locate(cacheDir);
    model = smallModel(folder.path).path;
    prepared = await prepareIn(cacheDir, model);
  });
  after(() => folder[Symbol.dispose]());
  afterEach(nothingLeft);

  it("is found again with other threads, and not with another level or mode", async () => {
    const again = async (options: NativeSessionOptions) => await prepareIn(cacheDir, model, "prepacked", { options });
    const other = await again({ intraOpNumThreads: 2 });
    assert.deepEqual([other.made, other.copy.key], [false, prepared.copy.key]);
    const basic = await again({ graphOptimizationLevel: "basic" }), mapped = await prepareIn(cacheDir, model, "mapped");
    assert.deepEqual([basic.made, mapped.made], [true, true]);
    assert.equal(new Set([basic, mapped, prepared].map(({ copy }) => copy.key)).size, 3);
  });

  it("belongs to the model's bytes, wherever they lie", async () => {
    const moved = folder.join("moved.onnx"), changed = folder.join("changed.onnx");
    copyFileSync(model, moved);
    assert.deepEqual(await prepareIn(cacheDir, moved), { ...prepared, made: false });
    const bytes = readFileSync(model);
    bytes[bytes.length >> 1]! ^= 1; // of a weight
    writeFileSync(changed, bytes);
    const { made, copy } = await prepareIn(cacheDir, changed);
    assert.deepEqual([made, copy.key === prepared.copy.key], [true, false]);
  });

  it("belongs to the external data's bytes and name", async () => {
    using own = scratchFolder();
    const dir = own.join("cache"), { path, dataPath } = smallModel(own.path, { external: "one.bin" });
    const one = await prepareIn(dir, path);
    assert.deepEqual(await prepareIn(dir, path), { ...one, made: false });
    const bytes = readFileSync(dataPath!);
    bytes[5000]! ^= 1;
    writeFileSync(dataPath!, bytes);
    const two = await prepareIn(dir, path);
    bytes[5000]! ^= 1;
    writeFileSync(dataPath!, bytes);
    assert.deepEqual(await prepareIn(dir, path), { ...one, made: false });
    const three = await prepareIn(dir, smallModel(own.path, { external: "two.bin" }).path);
    assert.deepEqual([two.made, three.made], [true, true]);
    assert.equal(new Set([one, two, three].map(({ copy }) => copy.key)).size, 3);
  });

  it("is nobody's under another key", async () => {
    const other = createHash("sha256").update("other").digest("hex"), { directory, key } = prepared.copy;
    renameSync(directory, cache.entry(other));
    try {
      assert.throws(
        () => readCopy(cache, other),
        failure("SystemError", "COPY_DAMAGED", /it was made for another model, machine or onnxruntime$/),
      );
      const [answer] = await inChild(cacheDir, [{
        do: "load",
        model,
        options: { graphOptimizationLevel: "extended" },
      }]);
      assert.equal(answer!.mode, "off");
      const entries = inventory(cache, await platform({ cache }));
      assert.deepEqual(entries.filter(({ state }) => state === "damaged").map(({ key }) => key), [other]);
    } finally {
      renameSync(cache.entry(other), directory);
    }
    assert.equal(readCopy(cache, key)!.key, key);
  });

  it("of a newer recipe is left alone, and listed as that", async () => {
    const fields = { ...prepared.copy.manifest.fields, recipe: RECIPE + 1 }, key = keyOf(fields);
    using own = scratchFolder();
    const { copy } = await prepareIn(own.join("cache"), model), there = WeightsCache.locate(own.join("cache"));
    const text = JSON.stringify({ ...copy.manifest, fields });
    renameSync(copy.directory, there.entry(key));
    const sealed = createHash("sha256").update(text).digest("hex");
    writeFileSync(`${there.entry(key)}/manifest.json`, `${sealed}\n${text}\n`);
    assert.throws(
      () => readCopy(there, key),
      failure("SystemError", "COPY_FOREIGN", /it was made by a newer Coload$/),
    );
    const [loaded, made, listed] = await inChild(own.join("cache"), [
      { do: "load", model },
      { do: "prepare", model },
      { do: "list" },
    ]);
    assert.equal(loaded!.mode, "off");
    assert.deepEqual([made!.made, made!.key], [true, copy.key]);
    const found = listed!.entries!.find((entry) => entry.key === key)!;
    assert.match(found.why, /made by a newer Coload/);
    assert.equal(found.state, "foreign", "a clean-up by an older Coload leaves it");
  });

  it("of a newer recipe does no harm when its manifest has another shape", async () => {
    using own = scratchFolder();
    const { copy } = await prepareIn(own.join("cache"), model), there = WeightsCache.locate(own.join("cache"));
    const key = createHash("sha256").update("newer").digest("hex"), text = JSON.stringify({ recipe: 7, parts: [] });
    renameSync(copy.directory, there.entry(key));
    const sealed = createHash("sha256").update(text).digest("hex");
    writeFileSync(`${there.entry(key)}/manifest.json`, `${sealed}\n${text}\n`);
    const [loaded, made, listed] = await inChild(own.join("cache"), [
      { do: "load", model },
      { do: "prepare", model },
      { do: "list" },
    ]);
    assert.deepEqual([loaded!.mode, loaded!.error, made!.made], ["off", undefined, true]);
    assert.equal(listed!.error, undefined, "a list tells of it");
    assert.equal(listed!.entries!.length, 2);
  });
});

describe("another onnxruntime", () => {
  it("has a copy of its own in the same cache, and loads no other", async () => {
    using folder = scratchFolder();
    await startOrt();
    const library = folder.join("libonnxruntime.so"),
      cacheDir = folder.join("cache"),
      model = smallModel(folder.path).path;
    copyFileSync(ort().path, library);
    appendFileSync(library, "\0");
    const here: Step[] = [{ do: "prepare", model }, { do: "load", model }];
    const [first] = await inChild(cacheDir, here);
    const [looked, made, loaded, listed] = await inChild(cacheDir, [{ do: "load", model }, ...here, { do: "list" }], {
      library,
    });
    const [found, again] = await inChild(cacheDir, here);
    assert.equal(looked!.mode, "off");
    const { version } = ort();
    assert.equal(
      looked!.reason,
      `a copy is prepared, but made with another build of onnxruntime ${version}: \`coload prepare\` makes one for here`,
    );
    assert.deepEqual([first!.made, made!.made, found!.made], [true, true, false]);
    assert.deepEqual([loaded!.mode, again!.mode], ["prepacked", "prepacked"]);
    assert.ok(loaded!.reason!.endsWith(made!.key!) && again!.reason!.endsWith(first!.key!));
    assert.equal(listed!.entries!.find(({ key }) => key === first!.key)!.state, "foreign");
    assert.equal(readdirSync(WeightsCache.locate(cacheDir).entries).length, 2);
  });
});

describe("another processor", () => {
  const cpuinfo = readFileSync("/proc/cpuinfo", "utf8");
  const flag = /^(?:flags|Features)\s*:.*\b(avx2|asimd)\b/m.exec(cpuinfo)?.[1];
  const skip = flag === undefined
    ? "this processor has neither avx2 nor asimd"
    : refused(otherProcessor("/proc/version"));

  it("has a copy of its own in the same cache, and loads no other", { skip }, async () => {
    using folder = scratchFolder();
    const other = folder.join("cpuinfo"), cacheDir = folder.join("cache"), model = smallModel(folder.path).path;
    writeFileSync(other, cpuinfo.replaceAll(new RegExp(` ${flag}(?= |$)`, "gm"), ""));
    const here: Step[] = [{ do: "prepare", model }, { do: "load", model }];
    const [first, mine] = await inChild(cacheDir, here);
    const [looked, made, loaded, listed] = await inChild(cacheDir, [{ do: "load", model }, ...here, { do: "list" }], {
      through: otherProcessor(other),
    });
    const [found, backHere] = await inChild(cacheDir, here);
    assert.deepEqual([first!.made, mine!.mode], [true, "prepacked"], `${mine!.reason}`);
    assert.deepEqual([looked!.mode, looked!.reason], [
      "off",
      `a copy is prepared, but made on a processor with ${flag}, which this one is without: \`coload prepare\` makes one for here`,
    ]);
    assert.deepEqual([made!.made, loaded!.mode, found!.made], [true, "prepacked", false]);
    assert.ok(loaded!.reason!.endsWith(made!.key!) && backHere!.reason!.endsWith(first!.key!));
    const foreign = listed!.entries!.find(({ key }) => key === first!.key)!;
    assert.deepEqual([foreign.state, foreign.why], [
      "foreign",
      `made on a processor with ${flag}, which this one is without`,
    ]);
  });
});
