import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { heavy, write } from "../session/children/sharing_models.ts";
import { nothingLeft } from "../support/left.ts";
import { writeWeights } from "../support/models.ts";
import { failure } from "../support/sessions.ts";
import { prepareIn } from "./support.ts";

const PHASES = ["reference", "convert", "pack", "verify"] as const;

/** What is in a folder of the cache. */
const inCache = (folder: TemporaryFolder, name: string): string[] => {
  const path = folder.join("cache", "weights", name);
  return existsSync(path) ? readdirSync(path) : [];
};

/** Changes something when a phase is reached, once; the preparation must fail, keep nothing, and work the next time. */
async function changesIn(folder: TemporaryFolder, wanted: string, file: string, change: () => void): Promise<void> {
  let changed = false;
  const onPhase = (phase: string): void => {
    if (phase !== wanted || changed) return;
    changed = true;
    change();
  };
  const preparing = prepareIn(folder.join("cache"), file, "prepacked", { onPhase });
  await assert.rejects(preparing, failure("SystemError", "MODEL_CHANGED", /written to meanwhile; prepare it again$/));
  assert.deepEqual([changed, inCache(folder, "entries"), inCache(folder, "work")], [true, [], []]);
  const { made, copy } = await prepareIn(folder.join("cache"), file);
  assert.deepEqual([made, copy.manifest.refused], [true, undefined]);
}

afterEach(nothingLeft);

describe("a model that changes while it is prepared", () => {
  for (const phase of PHASES) {
    it(`in phase "${phase}" is not kept, and can be prepared again`, async () => {
      using folder = new TemporaryFolder();
      const file = write(folder.join("model.onnx"), heavy());
      await changesIn(folder, phase, file, () => writeFileSync(file, heavy({}, { rows: "other" })));
    });
  }

  it("in its external data is not kept either", async () => {
    using folder = new TemporaryFolder();
    const options = { path: folder.join("model.onnx"), byteLength: 2 << 20, layers: 2, external: true };
    const { path, dataPath } = writeWeights(options);
    await changesIn(folder, "convert", path, () => {
      const data = readFileSync(dataPath!);
      writeFileSync(dataPath!, data.fill(0, 0, 8));
    });
  });

  it("is found out though its size and its time of writing are as before", async () => {
    using folder = new TemporaryFolder();
    const file = write(folder.join("model.onnx"), heavy()), then = new Date(1_600_000_000_000);
    utimesSync(file, then, then);
    await changesIn(folder, "pack", file, () => {
      const bytes = readFileSync(file);
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(file, bytes);
      utimesSync(file, then, then);
    });
  });

  it("while it is read for what is in it is refused", async () => {
    using folder = new TemporaryFolder();
    const file = folder.join("model.onnx");
    writeWeights({ path: file, byteLength: 32 << 20, layers: 4 });
    const onPhase = (phase: string): void => {
      if (phase === "digest") setTimeout(() => truncateSync(file, 16 << 20)); // once reading has begun
    };
    const preparing = prepareIn(folder.join("cache"), file, "prepacked", { onPhase });
    await assert.rejects(preparing, failure("SystemError", "MODEL_CHANGED"));
    assert.deepEqual(inCache(folder, "entries"), []);
  });

  it("or goes away is not kept", async () => {
    using folder = new TemporaryFolder();
    const file = write(folder.join("model.onnx"), heavy()), gone = /it is gone: .*; prepare it again$/;
    const onPhase = (phase: string): void => phase === "verify" ? rmSync(file, { force: true }) : undefined;
    const preparing = prepareIn(folder.join("cache"), file, "prepacked", { onPhase });
    await assert.rejects(preparing, failure("SystemError", "MODEL_CHANGED", gone));
    assert.deepEqual([inCache(folder, "entries"), inCache(folder, "work")], [[], []]);
  });
});
