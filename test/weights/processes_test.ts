import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { mappingsOf, Peers } from "./children/processes_peers.ts";
import { runChild } from "../support/child.ts";
import { prepareIn, scratchFolder, smallModel } from "./support.ts";

interface Made {
  readonly key: string;
  readonly directory: string;
  readonly made: boolean;
  readonly waited: boolean;
}

interface Loaded {
  readonly mode: string;
  readonly reason: string;
  readonly memory: { readonly shared: number };
  readonly output: string;
}

const SLOW = { timeout: 60_000 }, MB = 1 << 20;

/** The names in a folder of a cache. */
function namesIn(cache: string, folder: string): string[] {
  return readdirSync(path.join(cache, "weights", folder));
}

describe("processes that prepare at once", () => {
  it("make one copy of a model, and the others wait for it and use it", SLOW, async () => {
    using folder = scratchFolder();
    const { path: model } = smallModel(folder.path, { byteLength: 8 * MB }), cache = folder.join("cache");
    using peers = new Peers(10);
    await peers.ask("configure", cache); // all have started
    const found = await peers.ask<Made>("prepare", cache, model);
    assert.equal(found.filter(({ made }) => made).length, 1);
    assert.ok(found.filter(({ waited }) => waited).length > 0);
    assert.deepEqual(namesIn(cache, "entries"), [...new Set(found.map(({ key }) => key))]);
    assert.deepEqual(namesIn(cache, "work"), []);
    const loaded = await peers.ask<Loaded>("load", model);
    assert.deepEqual(new Set(loaded.map(({ mode, output }) => `${mode} ${output}`)).size, 1);
    assert.equal(loaded[0]!.mode, "prepacked");
  });

  it("make one of each of two models", SLOW, async () => {
    using folder = scratchFolder();
    const models = ["a.onnx", "b.onnx"].map((name, i) =>
      smallModel(folder.path, { name, byteLength: (2 + i) * MB }).path
    );
    const cache = folder.join("cache");
    using peers = new Peers(4);
    await peers.ask("configure", cache);
    const found = await Promise.all(
      peers.all.map((peer, i) => peer.ask<Made>("prepare", cache, models[i < 2 ? 0 : 1])),
    );
    const made = found.filter(({ made }) => made).map(({ key }) => key);
    assert.deepEqual(made.toSorted(), namesIn(cache, "entries").toSorted());
    assert.equal(made.length, 2);
    assert.deepEqual(namesIn(cache, "work"), []);
  });

  it("make it once when each asks for it by a load", SLOW, async () => {
    using folder = scratchFolder();
    const { path: model } = smallModel(folder.path, { byteLength: 4 * MB }), cache = folder.join("cache");
    using peers = new Peers(4);
    await peers.ask("configure", cache);
    const loaded = await peers.ask<Loaded>("load", model, { shareWeights: "prepacked" });
    assert.deepEqual([...new Set(loaded.map(({ mode }) => mode))], ["prepacked"]);
    assert.equal(new Set(loaded.map(({ output }) => output)).size, 1);
    assert.equal(namesIn(cache, "entries").length, 1);
  });

  it("make it anew one after the other when each is to", SLOW, async () => {
    using folder = scratchFolder();
    const { path: model } = smallModel(folder.path), cache = folder.join("cache");
    using peers = new Peers(4);
    await peers.ask("configure", cache);
    const found = await peers.ask<Made>("prepare", cache, model, true);
    assert.deepEqual(found.map(({ made }) => made), [true, true, true, true]);
    assert.equal(namesIn(cache, "entries").length, 1);
    assert.deepEqual(namesIn(cache, "work"), []);
    assert.deepEqual((await peers.ask<Loaded>("load", model)).map(({ mode }) => mode), Array(4).fill("prepacked"));
  });
});

describe("processes of both runtimes", () => {
  it("hold the weights of one copy once in memory", SLOW, async () => {
    using folder = scratchFolder();
    const { path: model } = smallModel(folder.path, { byteLength: 16 * MB }), cache = folder.join("cache");
    const { copy: { directory, manifest: { sharedBytes } } } = await prepareIn(cache, model);
    using peers = new Peers(4);
    await peers.ask("configure", cache);
    const loaded = await peers.ask<Loaded>("load", model);
    for (const { mode, memory } of loaded) assert.deepEqual([mode, memory.shared], ["prepacked", sharedBytes]);
    const found = peers.all.map(({ pid }) => mappingsOf(pid, path.join(directory, "model.data")));
    const all = found.reduce((sum, { share }) => sum + share, 0);
    for (const { resident, share } of found) {
      assert.ok(resident >= 16 * MB, `${resident} bytes resident`);
      assert.ok(Math.abs(share / resident - 1 / 4) < 0.05, `${share} of ${resident} bytes counted`);
    }
    assert.ok(all < 1.2 * Math.max(...found.map(({ resident }) => resident)), JSON.stringify(found));
  });
});

describe("a process", () => {
  for (const what of ["sessions", "workers"]) {
    it(`holds the weights of its ${what} once, in no memory of its own`, SLOW, async () => {
      using folder = scratchFolder();
      const bytes = 32 * MB, { path: model } = smallModel(folder.path, { byteLength: bytes });
      const cache = folder.join("cache");
      await prepareIn(cache, model);
      const grown: Record<string, number> = {};
      for (const mode of ["auto", "off"]) {
        const script = new URL("./children/processes_sessions.ts", import.meta.url);
        const { code, stdout, stderr } = await runChild(script, [cache, model, what, mode]);
        assert.equal(code, 0, stderr);
        const [, sharing, own] = /^(\w+), (-?\d+) more\nEND\n$/.exec(stdout) ?? assert.fail(stdout);
        assert.equal(sharing, mode === "auto" ? "prepacked" : "off");
        grown[mode] = Number(own);
      }
      assert.ok(grown.auto! < bytes, JSON.stringify(grown));
      assert.ok(grown.off! > 2.5 * bytes, JSON.stringify(grown));
    });
  }
});
