import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { liveHandles } from "../../src/handle.ts";
import { until } from "../registry/fixtures.ts";
import { WeightsCache } from "../../src/weights/cache.ts";
import { type CopyFile, readCopy } from "../../src/weights/manifest.ts";
import { heavy, random, write } from "../session/children/sharing_models.ts";
import { nothingLeft } from "../support/left.ts";
import { writeWeights } from "../support/models.ts";
import { floats, node, value } from "../support/models/proto.ts";
import { failure } from "../support/sessions.ts";
import { inChild, prepareIn } from "./support.ts";

const PREPACKED = ["digest", "reference", "convert", "pack", "verify"], reason = new Error("enough");

const inCache = (folder: TemporaryFolder, name: string): string[] => {
  const path = folder.join("cache", "weights", name);
  return existsSync(path) ? readdirSync(path) : [];
};
const phasesOf = (phases: Set<string>) => (phase: string): unknown => phases.add(phase);
const quiet = (): Promise<void> => until("onnxruntime has stopped", () => Object.keys(liveHandles()).length === 0);

afterEach(nothingLeft);

describe("preparing a model", () => {
  for (const mode of ["prepacked", "mapped"] as const) {
    it(`as ${mode} goes through its phases once`, async () => {
      using folder = new TemporaryFolder();
      const file = write(folder.join("model.onnx"), heavy()), first = new Set<string>(), again = new Set<string>();
      const made = await prepareIn(folder.join("cache"), file, mode, { onPhase: phasesOf(first) });
      const found = await prepareIn(folder.join("cache"), file, mode, { onPhase: phasesOf(again) });
      const phases = PREPACKED.filter((phase) => mode === "prepacked" || phase !== "pack");
      assert.deepEqual([made.made, [...first]], [true, phases]);
      assert.deepEqual([found.made, [...again]], [false, ["digest"]]);
      assert.deepEqual(found.copy, made.copy);
      assert.deepEqual(inCache(folder, "work"), []);
    });
  }

  it("by force makes it anew, in the same place", async () => {
    using folder = new TemporaryFolder();
    const file = write(folder.join("model.onnx"), heavy()), first = await prepareIn(folder.join("cache"), file);
    const second = await prepareIn(folder.join("cache"), file, "prepacked", { force: true });
    assert.deepEqual([second.made, second.copy.key, second.copy.manifest.files], [
      true,
      first.copy.key,
      first.copy.manifest.files,
    ]);
    assert.ok(second.copy.manifest.madeAt > first.copy.manifest.madeAt);
    assert.deepEqual([inCache(folder, "entries"), inCache(folder, "work")], [[first.copy.key], []]);
  });

  for (const mode of ["prepacked", "mapped"] as const) {
    it(`as ${mode} makes the same bytes in each process, so that files of two copies go together`, async () => {
      using folder = new TemporaryFolder();
      const metadataProps = Array.from({ length: 40 }, (_, i) => ({ key: `key ${i * 7919}`, value: `${i}` }));
      const initializers = Array.from(
        { length: 12 },
        (_, i) => floats(`W${i}`, [128, 128], new Float32Array(1 << 14).fill((i + 1) / 1000)),
      );
      const nodes = initializers.map(({ name }, i) => node("MatMul", [i === 0 ? "v" : `v${i}`, name!], [`v${i + 1}`]));
      const parts = { inputs: [value("v", "float32", [2, 128])], outputs: [value("v12", "float32", [2, 128])], nodes };
      const bytes = heavy(parts, { initializers, header: { producerName: "tests", metadataProps } });
      const model = write(folder.join("model.onnx"), bytes), cache = folder.join("cache"), all: CopyFile[][] = [];
      for (let i = 0; i < 3; i++) {
        const [{ key } = {}] = await inChild(cache, [{ do: "prepare", model, mode, force: true }]);
        all.push([...readCopy(WeightsCache.locate(cache), key!)!.manifest.files]);
      }
      assert.deepEqual(all, [all[0], all[0], all[0]]);
    });
  }

  it("that many want at once makes one copy", async () => {
    using folder = new TemporaryFolder();
    const file = write(folder.join("model.onnx"), heavy());
    const all = await Promise.all(Array.from({ length: 6 }, () => prepareIn(folder.join("cache"), file)));
    assert.equal(all.filter(({ made }) => made).length, 1);
    assert.equal(new Set(all.map(({ copy }) => copy.key)).size, 1);
  });

  it("notes that it cannot be shared, and does not try again", async () => {
    using folder = new TemporaryFolder();
    const file = write(folder.join("model.onnx"), random()), phases = new Set<string>();
    const first = await prepareIn(folder.join("cache"), file);
    const again = await prepareIn(folder.join("cache"), file, "prepacked", { onPhase: phasesOf(phases) });
    assert.deepEqual([first.made, again.made, [...phases]], [true, false, ["digest"]]);
    assert.equal(again.copy.manifest.refused, first.copy.manifest.refused);
  });

  it("that is none, or none that can be loaded, says so and keeps nothing", async () => {
    using folder = new TemporaryFolder();
    const none = write(folder.join("none.onnx"), new Uint8Array(2 << 20).fill(7));
    await assert.rejects(prepareIn(folder.join("cache"), none), failure("NativeError", "NOT_SHAREABLE"));
    const parts = {
      outputs: [value("z", "float32", ["batch"])],
      nodes: [node("Nope", ["x"], ["z"], [], "com.example")],
    };
    const odd = write(folder.join("odd.onnx"), heavy(parts, { domains: { "com.example": 1 } }));
    await assert.rejects(prepareIn(folder.join("cache"), odd), failure("OrtError", "MODEL_UNSUPPORTED"));
    assert.deepEqual([inCache(folder, "entries"), inCache(folder, "work")], [[], []]);
  });

  for (const phase of PREPACKED) {
    it(`that is aborted in phase "${phase}" rejects at once, leaves nothing, and works the next time`, async () => {
      using folder = new TemporaryFolder();
      const file = folder.join("model.onnx"), stop = new AbortController();
      writeWeights({ path: file, byteLength: 4 << 20, layers: 2 });
      const onPhase = (reached: string): void => reached === phase ? stop.abort(reason) : undefined;
      const preparing = prepareIn(folder.join("cache"), file, "prepacked", { signal: stop.signal, onPhase });
      await assert.rejects(preparing, reason);
      await quiet();
      assert.deepEqual([inCache(folder, "entries"), inCache(folder, "work")], [[], []]);
      assert.equal((await prepareIn(folder.join("cache"), file)).made, true);
    });
  }

  it("that is aborted before it began rejects", async () => {
    using folder = new TemporaryFolder();
    const file = write(folder.join("model.onnx"), heavy());
    await assert.rejects(
      prepareIn(folder.join("cache"), file, "mapped", { signal: AbortSignal.abort(reason) }),
      reason,
    );
    await quiet();
    assert.deepEqual(inCache(folder, "entries"), []);
  });
});
