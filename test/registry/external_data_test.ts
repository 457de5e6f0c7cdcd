import assert from "node:assert/strict";
import { linkSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import onnxProto from "onnx-proto";
import { type InferenceSession, ModelRegistry } from "../../mod.ts";
import { externalLocations } from "../../src/ort/model_scan.ts";
import { nothingLeft } from "../support/left.ts";
import { manyNodes, type WeightsModel, writeWeights } from "../support/models.ts";
import { failure, floats } from "../support/sessions.ts";
import { ModelFolder } from "./fixtures.ts";

const write = (folder: ModelFolder, path = folder.join("a.onnx")): WeightsModel =>
  writeWeights({ path, byteLength: 40_000, layers: 2, external: "weights.bin" });
const locations = (path: string): readonly string[] => externalLocations(path, statSync(path).size);

/** What a model answers to ones. */
function answer(session: InferenceSession, width: number): number[] {
  return [...session.runSync({ x: floats(new Array(width).fill(1), [1, width]) }).y!.as("float32").data];
}

/** Writes a model whose initializers lie at these locations. */
function names(path: string, ...given: string[]): string {
  const model = onnxProto.onnx.ModelProto.decode(manyNodes(3)), [first] = model.graph!.initializer!;
  model.graph!.initializer = given.map((value) => ({
    ...first!,
    rawData: new Uint8Array(0),
    externalData: [{ key: "offset", value: "0" }, { key: "location", value }],
  }));
  writeFileSync(path, onnxProto.onnx.ModelProto.encode(model).finish());
  return path;
}

afterEach(nothingLeft);

describe("external data", () => {
  it("that is unchanged makes a hit", async () => {
    using folder = new ModelFolder();
    await using registry = new ModelRegistry();
    const { path } = write(folder);
    using one = await registry.load(path);
    using two = await registry.load(path);
    assert.equal(one.id, two.id);
  });

  it("that was rewritten makes a new model with another result; old references keep the old one", async () => {
    using folder = new ModelFolder();
    await using registry = new ModelRegistry();
    const { path, dataPath, inputWidth } = write(folder);
    using old = await registry.load(path);
    const before = answer(old, inputWidth);
    writeFileSync(dataPath!, new Uint8Array(statSync(dataPath!).size));
    using changed = await registry.load(path);
    assert.notEqual(changed.id, old.id);
    assert.ok(answer(changed, inputWidth).every((value) => value === 0));
    assert.ok(before.some((value) => value !== 0));
    assert.deepEqual(answer(old, inputWidth), before);
  });

  it("counts in the estimate of what a load takes", async () => {
    using folder = new ModelFolder();
    const { path, dataPath } = write(folder), neededBytes = statSync(path).size + statSync(dataPath!).size;
    await using registry = new ModelRegistry({ maxMemoryBytes: neededBytes - 1 });
    const refused = { ...failure("MemoryError", "MEMORY_BUDGET"), neededBytes };
    await assert.rejects(registry.load(path), refused);
    await assert.rejects(registry.load(path, { key: "named" }), refused);
  });

  it("that is missing is an error that names it, until it is there", async () => {
    using folder = new ModelFolder();
    await using registry = new ModelRegistry();
    const { path, dataPath } = write(folder), data = readFileSync(dataPath!);
    rmSync(dataPath!);
    await assert.rejects(registry.load(path), failure("OrtError", "EXTERNAL_DATA", /weights\.bin/));
    writeFileSync(dataPath!, data);
    (await registry.load(path))[Symbol.dispose]();
  });

  it("that is cut off is an error", async () => {
    using folder = new ModelFolder();
    await using registry = new ModelRegistry();
    const { path, dataPath } = write(folder);
    (await registry.load(path))[Symbol.dispose]();
    truncateSync(dataPath!, 100);
    await assert.rejects(registry.load(path), failure("OrtError", "EXTERNAL_DATA"));
  });

  it("lies beside the model itself, not beside a symlink to it", async () => {
    using folder = new ModelFolder();
    await using registry = new ModelRegistry();
    const { path } = write(folder), link = folder.join("links", "a.onnx");
    mkdirSync(folder.join("links"));
    symlinkSync(path, link);
    using one = await registry.load(path);
    using two = await registry.load(link);
    assert.equal(one.id, two.id);
  });

  it("lies beside a hard link, which makes that another model", async () => {
    using folder = new ModelFolder();
    await using registry = new ModelRegistry();
    const { path, dataPath, inputWidth } = write(folder), link = folder.join("links", "a.onnx");
    mkdirSync(folder.join("links"));
    linkSync(path, link);
    writeFileSync(folder.join("links", "weights.bin"), new Uint8Array(statSync(dataPath!).size));
    using one = await registry.load(path);
    using two = await registry.load(link);
    assert.ok(answer(one, inputWidth).some((value) => value !== 0));
    assert.ok(answer(two, inputWidth).every((value) => value === 0));
  });
});

describe("the locations of external data", () => {
  it("are found beside others, each once", () => {
    using folder = new ModelFolder();
    assert.deepEqual(locations(names(folder.join("a"), "one", "two/é.bin", "one")), ["one", "two/é.bin"]);
    assert.deepEqual(locations(write(folder).path), ["weights.bin"]);
  });

  it("are none of a model that has its weights inside, however large", () => {
    using folder = new ModelFolder();
    const { path } = writeWeights({ path: folder.join("large.onnx"), byteLength: 5e7, layers: 500 });
    assert.deepEqual(locations(path), []);
    assert.deepEqual(locations(folder.model("many nodes", 5000)), []);
  });

  it("that no file can have are left out", () => {
    using folder = new ModelFolder();
    assert.deepEqual(locations(names(folder.join("a"), "", "a\0b", "x".repeat(5000), "fine")), ["fine"]);
  });

  it("are none of what is no whole model, wherever it is cut off", () => {
    using folder = new ModelFolder();
    const whole = readFileSync(names(folder.join("a"), "one", "two")), cut = folder.join("cut");
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(cut, whole.subarray(0, length));
      assert.ok(["", "one,two"].includes(String(locations(cut))), `${length}`);
    }
  });

  it("are none, or nonsense, of bytes that were tampered with", () => {
    using folder = new ModelFolder();
    const whole = readFileSync(names(folder.join("a"), "one", "two")), tampered = folder.join("tampered");
    for (let at = 0; at < whole.length; at++) {
      for (const byte of [0, 0x7f, 0x80, 0xff]) {
        const bytes = whole.slice();
        bytes[at] = byte;
        writeFileSync(tampered, bytes);
        assert.ok(Array.isArray(locations(tampered)));
      }
    }
  });

  for (
    const [what, bytes] of Object.entries({
      "endless numbers": new Uint8Array(1e5).fill(0xff),
      "nothing but empty fields": new Uint8Array(2e7).map((_, i) => i % 2 ? 0 : 0x0a),
      "a length beyond all files": Uint8Array.from([0x3a, ...new Array(9).fill(0xff), 1]),
      "groups": Uint8Array.from([0x3b, 0x3c]),
      "text": new TextEncoder().encode("this is no model, but a text of some length"),
    })
  ) {
    it(`are none of ${what}`, async () => {
      using folder = new ModelFolder();
      writeFileSync(folder.join("a"), bytes);
      assert.deepEqual(locations(folder.join("a")), []);
      await using registry = new ModelRegistry();
      await assert.rejects(registry.load(folder.join("a")), failure("OrtError", "MODEL_INVALID"));
    });
  }
});
