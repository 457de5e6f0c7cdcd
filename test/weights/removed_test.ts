import assert from "node:assert/strict";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, describe, it } from "node:test";
import { WeightsCache } from "../../src/weights/cache.ts";
import { refused } from "../memory/peers/peer.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import type { Step } from "./children/request.ts";
import { inChild, overlaid, prepareIn, scratchFolder, smallModel } from "./support.ts";

const KEY = "0".repeat(64);

afterEach(nothingLeft);

describe("a cache that somebody removes", () => {
  it("has another lock from then on, which the old one's holder knows", () => {
    using folder = scratchFolder();
    const cache = WeightsCache.locate(folder.join("cache"));
    cache.make();
    using old = cache.tryLock(KEY)!;
    assert.deepEqual([cache.holds(old), cache.tryLock(KEY)], [true, undefined]);
    rmSync(cache.root, { recursive: true });
    assert.equal(cache.holds(old), false);
    cache.make();
    using held = cache.tryLock(KEY)!;
    assert.deepEqual([cache.holds(old), cache.holds(held), cache.tryLock(KEY)], [false, true, undefined]);
  });

  for (const phase of ["reference", "pack", "verify"]) {
    it(`while a model is prepared, in phase "${phase}", gets nothing of that, and keeps what others do there`, async () => {
      using folder = scratchFolder();
      const { path: model } = smallModel(folder.path), cache = WeightsCache.locate(folder.join("cache"));
      const { copy: { key } } = await prepareIn(folder.join("other"), model);
      const theirs = path.join(cache.work, key, "copy");
      let isRemoved = false;
      const onPhase = (reached: string): void => {
        if (reached !== phase || isRemoved) return;
        isRemoved = true;
        rmSync(cache.root, { recursive: true });
        cache.make();
        mkdirSync(theirs, { recursive: true });
        mkdirSync(path.join(theirs, "..", "converted"));
        writeFileSync(path.join(theirs, "theirs"), "");
      };
      const why = /cache\/weights: it was removed while something was made in it$/;
      const preparing = prepareIn(cache.root, model, "prepacked", { onPhase });
      await assert.rejects(preparing, failure("SystemError", "CACHE_UNUSABLE", why));
      assert.deepEqual(cache.keys(), []);
      assert.ok(readdirSync(theirs).includes("theirs"));
      rmSync(path.join(cache.work, key), { recursive: true });
      assert.ok((await prepareIn(cache.root, model)).made);
    });
  }
});

describe("a copy in the lower layer of an overlay, whose folder no one can rename", () => {
  using probe = scratchFolder();
  mkdirSync(probe.join("lower"));
  mkdirSync(probe.join("upper"));
  const skip = refused(overlaid(probe.join("lower"), probe.join("upper")));

  const ways: Readonly<Record<string, (model: string, key: string) => Step>> = {
    "is removed": (_, key) => ({ do: "remove", key }),
    "is made anew": (model) => ({ do: "prepare", model, force: true }),
  };
  for (const [name, change] of Object.entries(ways)) {
    it(`${name} all the same`, { skip }, async () => {
      using folder = scratchFolder();
      const { path: model } = smallModel(folder.path), cache = folder.join("cache"), upper = folder.join("upper");
      mkdirSync(upper);
      const { copy: { key } } = await prepareIn(cache, model), load: Step = { do: "load", model };
      const steps = [load, change(model, key), load, { do: "files" }] as const;
      const [before, changed, after, left] = await inChild(cache, steps, { through: overlaid(cache, upper) });
      assert.deepEqual([before!.mode, changed!.error], ["prepacked", undefined], JSON.stringify(before));
      assert.equal(after!.mode, name === "is removed" ? "off" : "prepacked", `${after!.reason}`);
      assert.equal(after!.result, before!.result);
      const lies = left!.files!.filter((file) => file.includes(key)).map((file) => path.dirname(file));
      assert.deepEqual(
        new Set(lies),
        new Set(name === "is removed" ? [] : ["weights/entries", `weights/entries/${key}`]),
      );
    });
  }
});
