import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { runScript } from "../cli/spawn.ts";
import { Peer, Peers, RUNTIMES } from "./children/processes_peers.ts";
import { prepareIn, type ScratchFolder, scratchFolder, smallModel } from "./support.ts";

interface Loaded {
  readonly mode: string;
  readonly reason: string;
  readonly output: string;
}

const SLOW = { timeout: 60_000 }, MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const NOTHING = "no copy is prepared: `coload prepare` makes one";

/** A model, its copy, a process of each runtime, and what the model itself computes. */
async function setUp(folder: ScratchFolder) {
  const { path: model } = smallModel(folder.path), cache = folder.join("cache");
  await prepareIn(cache, model);
  const peers = new Peers(2);
  await peers.ask("configure", cache);
  const plain = await peers.ask<Loaded>("load", model, { shareWeights: "off" }), wanted = plain[0]!.output;
  return { model, cache, peers, wanted };
}

async function coloadPrepare(cache: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await runScript(MAIN, ["prepare", "--dir", cache, ...args]);
  assert.equal(code, 0, stderr);
}

describe("a copy that is in use", () => {
  const ways = {
    "is removed": (cache: string, model: string) => coloadPrepare(cache, "--remove", model),
    "is made anew": (cache: string, model: string) => coloadPrepare(cache, "--force", model),
    "is cleaned up": (cache: string) => coloadPrepare(cache, "--gc", "--max-age", "0s"),
  };
  for (const [name, change] of Object.entries(ways)) {
    it(`${name}: sessions go on, right to the bit`, SLOW, async () => {
      using folder = scratchFolder();
      const { model, cache, peers, wanted } = await setUp(folder);
      using _peers = peers;
      for (const from of ["alone", "registry"]) {
        for (const { mode, output } of await peers.ask<Loaded>("load", model, {}, from)) {
          assert.deepEqual([mode, output], ["prepacked", wanted]);
        }
      }
      await change(cache, model);
      for (const { pid } of peers.all) {
        assert.match(readFileSync(`/proc/${pid}/maps`, "utf8"), /\/weights\/.*\/model\.data \(deleted\)$/m);
      }
      for (const outputs of await peers.ask<string[]>("run")) assert.deepEqual(outputs, Array(3).fill(wanted));
      const mode = name === "is made anew" ? "prepacked" : "off";
      for (const found of await peers.ask<Loaded>("load", model)) {
        assert.deepEqual([found.mode, found.output], [mode, wanted]);
        if (mode === "off") assert.equal(found.reason, NOTHING);
      }
      for (const outputs of await peers.ask<string[]>("run")) assert.deepEqual(outputs, Array(4).fill(wanted));
    });
  }

  it("is made anew again and again: every load finds one, and computes the same", SLOW, async () => {
    using folder = scratchFolder();
    const { model, cache, peers, wanted } = await setUp(folder), end = folder.join("end");
    using _peers = peers;
    const found = peers.ask<string[]>("loadUntil", model, end);
    for (let i = 0; i < 5; i++) await prepareIn(cache, model, "prepacked", { force: true });
    writeFileSync(end, "");
    assert.deepEqual(await found, Array(2).fill([`prepacked ${wanted}`]));
  });

  it("is made anew: there is no moment without one", SLOW, async () => {
    using folder = scratchFolder();
    const { path: model } = smallModel(folder.path), cache = folder.join("cache"), end = folder.join("end");
    const { copy: { directory } } = await prepareIn(cache, model);
    using peers = new Peers(2);
    const found = peers.ask<boolean>("watchUntil", directory, end);
    for (let i = 0; i < 10; i++) await prepareIn(cache, model, "prepacked", { force: true });
    writeFileSync(end, "");
    assert.deepEqual(await found, [true, true]);
  });

  it("is removed and made again and again: every load works, and computes the same", SLOW, async () => {
    using folder = scratchFolder();
    const { model, cache, peers, wanted } = await setUp(folder), end = folder.join("end");
    using _peers = peers;
    const found = peers.ask<string[]>("loadUntil", model, end);
    for (let i = 0; i < 2; i++) {
      await coloadPrepare(cache, "--remove", model);
      await prepareIn(cache, model);
    }
    writeFileSync(end, "");
    const outcomes = new Set((await found).flat());
    for (const outcome of outcomes) assert.match(outcome, new RegExp(`^(prepacked|off) ${wanted}$`));
    assert.ok(outcomes.has(`prepacked ${wanted}`));
  });
});

describe("a copy that goes away while it is loaded", () => {
  for (const runtime of RUNTIMES) {
    for (const from of ["alone", "registry"]) {
      it(
        `gives way to the model itself (${from === "alone" ? "a session" : "a registry"} on ${runtime})`,
        SLOW,
        async () => {
          using folder = scratchFolder();
          const { path: model } = smallModel(folder.path), cache = folder.join("cache");
          using peer = new Peer(runtime);
          await peer.ask("configure", cache);
          const { output: wanted } = await peer.ask<Loaded>("load", model, { shareWeights: "off" });
          for (
            const [phase, what] of [["digest", ""], ["create", ""], ["create", "model.onnx"], ["create", "model.data"]]
          ) {
            const { copy: { directory } } = await prepareIn(cache, model);
            const file = path.join(directory, what!);
            const { mode, reason, output } = await peer.ask<Loaded>("loadWithout", model, file, phase, from);
            assert.deepEqual([mode, output], ["off", wanted]);
            if (phase === "digest") assert.equal(reason, NOTHING);
            else assert.match(reason, /^the prepared copy could not be loaded: /);
          }
        },
      );
    }
  }
});
