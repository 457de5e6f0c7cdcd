import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import path from "node:path";
import { afterEach, describe, it } from "node:test";
import { nothingLeft } from "../support/left.ts";
import { inChild, prepareIn, scratchFolder, smallModel } from "./support.ts";

const MAPPED = '`shareWeights: "mapped"` loads a mapped copy that is there, which computes slower';

afterEach(nothingLeft);

describe("a load that is asked for nothing", () => {
  it("takes no mapped copy, for that is slower, and says that there is one", async () => {
    using folder = scratchFolder();
    const { path: model } = smallModel(folder.path), cache = folder.join("cache");
    const [mapped, auto, again, prepacked, best] = await inChild(cache, [
      { do: "load", model, options: { shareWeights: "mapped" } },
      { do: "load", model },
      { do: "load", model, options: { shareWeights: "mapped" } },
      { do: "load", model, options: { shareWeights: "prepacked" } },
      { do: "load", model },
    ]);
    assert.deepEqual([mapped!.mode, auto!.mode, auto!.reason], ["mapped", "off", `none is prepacked; ${MAPPED}`]);
    assert.deepEqual([again!.mode, again!.reason], ["mapped", mapped!.reason]);
    assert.deepEqual([best!.mode, best!.reason], ["prepacked", prepacked!.reason]);
    assert.equal(best!.result, auto!.result);
  });

  it("does not speak of a mapped copy for other options, or of one that is no more", async () => {
    using folder = scratchFolder();
    const { path: model } = smallModel(folder.path), cache = folder.join("cache");
    const { copy: { directory } } = await prepareIn(cache, model, "mapped");
    const basic = { graphOptimizationLevel: "basic" } as const;
    const [other] = await inChild(cache, [{ do: "load", model, options: basic }]);
    assert.deepEqual([other!.mode, other!.reason], ["off", "a copy is prepared, for other session options"]);
    rmSync(path.join(directory, "manifest.json"));
    const [gone] = await inChild(cache, [{ do: "load", model }]);
    assert.deepEqual([gone!.mode, gone!.reason], ["off", "no copy is prepared: `coload prepare` makes one"]);
  });
});
