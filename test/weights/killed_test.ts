import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { describe, it } from "node:test";
import { collect } from "../../src/weights/inventory.ts";
import { WeightsCache } from "../../src/weights/cache.ts";
import { sweepDrafts } from "../../src/weights/digests.ts";
import { startScript } from "../cli/spawn.ts";
import { runChild } from "../support/child.ts";
import { Peer, Peers, type RuntimeName, RUNTIMES } from "./children/processes_peers.ts";
import { prepareIn, type ScratchFolder, scratchFolder, smallModel } from "./support.ts";

const SLOW = { timeout: 60_000 }, PHASES = ["digest", "reference", "convert", "pack", "verify"];
const TERMINATED = new URL("./children/processes_terminated.ts", import.meta.url);
const BYTES = 4 << 20;

/** What lies in a cache: its copies, each by the identity of its folder and its manifest, and unfinished work. */
function stateOf(cache: string): { copies: string[]; work: string[] } {
  const in_ = (name: string): string[] => {
    try {
      return readdirSync(path.join(cache, "weights", name));
    } catch {
      return [];
    }
  };
  const copies = in_("entries").map((key) => {
    const entry = path.join(cache, "weights/entries", key);
    return `${key} ${statSync(entry).ino} ${readFileSync(path.join(entry, "manifest.json"), "utf8")}`;
  });
  return { copies, work: in_("work") };
}

/** Has a process prepare a model, and kills it when it has reached a phase. */
async function killIn(phase: string, cache: string, model: string, runtime: RuntimeName, force = false): Promise<void> {
  using peer = new Peer(runtime);
  await peer.ask("beginAndStop", cache, model, phase, force);
  process.kill(peer.pid, "SIGKILL");
  assert.equal(await peer.end, "SIGKILL");
}

function setUp(folder: ScratchFolder): { model: string; cache: string } {
  return { model: smallModel(folder.path, { byteLength: BYTES }).path, cache: folder.join("cache") };
}

describe("a process that is killed while it prepares a model", () => {
  for (const [i, phase] of PHASES.entries()) {
    it(`in the phase "${phase}", leaves a cache that the next one makes the copy in`, SLOW, async () => {
      using folder = scratchFolder();
      const { model, cache } = setUp(folder);
      await killIn(phase, cache, model, RUNTIMES[i % 2]!);
      assert.deepEqual(stateOf(cache).copies, []);
      assert.equal(stateOf(cache).work.length, phase === "digest" ? 0 : 1);
      const phases: string[] = [], onPhase = (name: string): unknown => phases.push(name);
      assert.ok((await prepareIn(cache, model, "prepacked", { onPhase })).made);
      assert.ok(!phases.includes("wait"));
      assert.deepEqual([stateOf(cache).copies.length, stateOf(cache).work], [1, []]);
    });

    it(`anew, in the phase "${phase}", leaves the copy that was there`, SLOW, async () => {
      using folder = scratchFolder();
      const { model, cache } = setUp(folder);
      await prepareIn(cache, model);
      const { copies } = stateOf(cache);
      await killIn(phase, cache, model, RUNTIMES[(i + 1) % 2]!, true);
      assert.deepEqual(stateOf(cache).copies, copies);
      assert.ok(!(await prepareIn(cache, model)).made);
    });
  }

  it("leaves what clean-up removes, and what preparing another model does", SLOW, async () => {
    using folder = scratchFolder();
    const { model, cache } = setUp(folder), { path: other } = smallModel(folder.path, { name: "other.onnx" });
    await killIn("pack", cache, model, "deno");
    assert.deepEqual(await collect(WeightsCache.locate(cache), { maxAgeMs: Infinity, maxBytes: Infinity }), []);
    assert.deepEqual(stateOf(cache).work, []);
    await killIn("pack", cache, model, "bun");
    await prepareIn(cache, other);
    assert.deepEqual(stateOf(cache).work, []);
  });

  it("leaves what is removed too by a run that finds a copy", SLOW, async () => {
    using folder = scratchFolder();
    const { model, cache } = setUp(folder);
    await prepareIn(cache, model);
    await killIn("pack", cache, model, "deno", true);
    await prepareIn(cache, model);
    assert.deepEqual(stateOf(cache).work, []);
  });

  it("leaves what the next one removes also of what it noted, once nobody can be writing it", SLOW, async () => {
    using folder = scratchFolder();
    const { model, cache } = setUp(folder), { digests } = WeightsCache.locate(cache);
    await prepareIn(cache, model);
    const [draft, stray] = [`${"a".repeat(40)}.${"b".repeat(16)}`, "notes.txt"];
    for (const name of [draft, stray]) writeFileSync(path.join(digests, name), "");
    await prepareIn(cache, model);
    assert.ok(readdirSync(digests).includes(draft!));
    sweepDrafts(WeightsCache.locate(cache), Date.now() + 61_000);
    assert.deepEqual([draft, stray].map((name) => readdirSync(digests).includes(name!)), [false, true]);
  });

  for (const runtime of RUNTIMES) {
    it(`on ${runtime} at any moment, leaves a whole copy or none`, SLOW, async () => {
      using folder = scratchFolder();
      const { model, cache } = setUp(folder);
      for (let i = 0; i < 3; i++) {
        const ms = Math.floor(Math.random() * 300), { copies } = stateOf(cache);
        {
          using peer = new Peer(runtime);
          await peer.ask("begin", cache, model, "digest", true);
          await delay(ms);
          process.kill(peer.pid, "SIGKILL");
          await peer.end;
        }
        const left = stateOf(cache).copies;
        assert.ok(left.length === 1 || copies.length === 0, `the copy went when killed after ${ms} ms`);
        if (left.length === 1) assert.ok(!(await prepareIn(cache, model)).made, `damaged when killed after ${ms} ms`);
      }
      await prepareIn(cache, model, "prepacked", { force: true });
      assert.deepEqual([stateOf(cache).copies.length, stateOf(cache).work], [1, []]);
    });
  }

  it("is followed by one of those that wait for it", SLOW, async () => {
    using folder = scratchFolder();
    const { model, cache } = setUp(folder);
    using killed = new Peer("deno");
    using others = new Peers(4);
    await killed.ask("beginAndStop", cache, model, "convert");
    await others.ask("begin", cache, model, "wait");
    assert.equal(stateOf(cache).work.length, 1);
    process.kill(killed.pid, "SIGKILL");
    const found = await others.ask<{ made: boolean }>("finish");
    assert.equal(found.filter(({ made }) => made).length, 1);
    assert.deepEqual([stateOf(cache).copies.length, stateOf(cache).work], [1, []]);
  });

  it("is not disturbed while it is merely slow", SLOW, async () => {
    using folder = scratchFolder();
    const { model, cache } = setUp(folder), { path: other } = smallModel(folder.path, { name: "other.onnx" });
    using slow = new Peer("bun");
    await slow.ask("beginAndStop", cache, model, "pack");
    using waiting = new Peer("deno");
    await waiting.ask("begin", cache, model, "wait");
    await prepareIn(cache, other);
    await collect(WeightsCache.locate(cache), { maxAgeMs: Infinity, maxBytes: Infinity });
    assert.equal(stateOf(cache).work.length, 1);
    process.kill(slow.pid, "SIGCONT");
    const { made } = await waiting.ask<{ made: boolean }>("finish");
    assert.ok(!made);
    assert.deepEqual([stateOf(cache).copies.length, stateOf(cache).work], [2, []]);
  });
});

describe("a Worker that is terminated while it prepares a model", () => {
  it("lets the lock go, and leaves nothing that disturbs the next one", SLOW, async () => {
    using folder = scratchFolder();
    const { path: model } = smallModel(folder.path, { byteLength: 32 << 20 });
    const { code, stdout, stderr } = await runChild(TERMINATED, [model, folder.path]);
    assert.deepEqual(
      [code, stdout],
      [0, PHASES.map((phase) => `${phase} true shared 1 0\n`).join("") + "END\n"],
      stderr,
    );
  });

  it("is no hang for other processes, though its own does nothing more", SLOW, async () => {
    using folder = scratchFolder();
    const { path: model } = smallModel(folder.path, { byteLength: 32 << 20 });
    const idle = startScript(TERMINATED.pathname, [model, folder.path, "convert"]);
    try {
      await new Promise((resolve) => idle.stdout!.once("data", resolve));
      await assert.rejects(prepareIn(folder.join("convert"), model), { code: "CACHE_BUSY" });
      idle.kill("SIGKILL");
      assert.ok((await prepareIn(folder.join("convert"), model)).made);
    } finally {
      idle.kill("SIGKILL");
    }
  });
});
