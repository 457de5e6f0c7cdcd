import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import process from "node:process";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { WeightsCache } from "../../src/weights/cache.ts";
import { find, type Found } from "../../src/weights/find.ts";
import { collect, inventory, verifyCopy } from "../../src/weights/inventory.ts";
import { type Copy, readCopy } from "../../src/weights/manifest.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import type { Step } from "./children/request.ts";
import { inChild, prepareIn, type ScratchFolder, scratchFolder, smallModel } from "./support.ts";

const damaged = (why: RegExp) => failure("SystemError", "COPY_DAMAGED", why);
const notRoot = process.geteuid!() !== 0 && "only root can give a file away";

/** Flips a bit in the middle of a file, by default so that its time of change tells nothing. */
function flip(file: string, at: number = statSync(file).size >> 1, backdated = true): void {
  const { mode, atime, mtime } = statSync(file), byte = new Uint8Array(1);
  chmodSync(file, 0o600);
  const fd = openSync(file, "r+");
  readSync(fd, byte, 0, 1, at);
  byte[0]! ^= 16;
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
  chmodSync(file, mode & 0o7777);
  if (backdated) utimesSync(file, atime, mtime);
}

function lengthen(file: string): void {
  appendFileSync(file, "x");
  chmodSync(file, 0o400); // Deno has changed it
}

/** Puts the same bytes there through a symlink. */
function link(file: string): void {
  const aside = path.join(path.dirname(path.dirname(path.dirname(file))), `aside-${path.basename(file)}`);
  renameSync(file, aside);
  symlinkSync(aside, file);
}

function replaceByFolder(file: string): void {
  rmSync(file, { recursive: true });
  mkdirSync(file, { mode: 0o700 });
}

function replaceByFile(folder: string): void {
  rmSync(folder, { recursive: true });
  writeFileSync(folder, "");
}

/** A manifest as it is written, but for what is in it. */
function sealManifest(directory: string, text: string): void {
  const sealed = createHash("sha256").update(text).digest("hex");
  writeFileSync(path.join(directory, "manifest.json"), `${sealed}\n${text}\n`);
}

type Damage = readonly [what: string, damage: (copy: string) => void, why: RegExp, code?: "COPY_FOREIGN"];

const CHANGED = (name: string) => new RegExp(`what is in ${name} has changed since it was written$`);
const FILES = ["model.data", "model.onnx"].flatMap((name): Damage[] => {
  const of = (damage: (file: string) => void) => (copy: string): void => damage(path.join(copy, name));
  return [
    [`a flipped bit in ${name}`, of((file) => flip(file, undefined, false)), CHANGED(name)],
    [`a flipped bit in ${name}, its time of change set back`, of((file) => flip(file)), CHANGED(name)],
    [`a flipped bit in ${name}'s last byte`, of((file) => flip(file, statSync(file).size - 1)), CHANGED(name)],
    [
      `a truncated ${name}`,
      of((file) => truncateSync(file, 500)),
      new RegExp(`${name}: \\d+ bytes wanted, 500 found$`),
    ],
    [`an empty ${name}`, of((file) => truncateSync(file, 0)), new RegExp(`${name}: \\d+ bytes wanted, 0 found$`)],
    [`a ${name} with more in it`, of(lengthen), new RegExp(`${name}: \\d+ bytes wanted`)],
    [`no ${name}`, of(rmSync), new RegExp(`${name}: No such file or directory$`)],
    [`a symlink for ${name}`, of(link), new RegExp(`${name}: a file wanted, a symlink found$`)],
    [`a folder for ${name}`, of(replaceByFolder), new RegExp(`${name}: a file wanted, a directory found$`)],
    [`a ${name} that others can write to`, of((file) => chmodSync(file, 0o602)), /others can write to it$/],
  ];
});

const MANIFEST = "manifest.json", NOT_WRITTEN = /manifest.json is not as it was written$/;
const ofManifest = (damage: (file: string) => void) => (copy: string): void => damage(path.join(copy, MANIFEST));
const DAMAGES: readonly Damage[] = [
  ...FILES,
  ["a flipped bit in its manifest", ofManifest((file) => flip(file)), NOT_WRITTEN],
  ["a flipped bit in its manifest's seal", ofManifest((file) => flip(file, 3)), NOT_WRITTEN],
  ["a truncated manifest", ofManifest((file) => truncateSync(file, 300)), NOT_WRITTEN],
  ["an empty manifest", ofManifest((file) => truncateSync(file, 0)), NOT_WRITTEN],
  ["no manifest", ofManifest(rmSync), /manifest.json: No such file or directory$/],
  ["a symlink for its manifest", ofManifest(link), /manifest.json: a file wanted, a symlink found$/],
  ["a manifest that others can write to", ofManifest((file) => chmodSync(file, 0o622)), /others can write to it$/],
  ["a manifest of a newer shape", (copy) => sealManifest(copy, '{"recipe":7}'), /by a newer Coload$/, "COPY_FOREIGN"],
  ["a manifest of another shape", (copy) => sealManifest(copy, '{"fields":{"recipe":1}}'), /manifest|made for another/],
  ["a manifest that is no JSON", (copy) => sealManifest(copy, "manifest"), /manifest|made for another/],
  ["a folder that others can write to", (copy) => chmodSync(copy, 0o777), /others can write to it$/],
  ["a file for its folder", replaceByFile, /a folder wanted, a file found$/],
  ["a symlink for its folder", link, /a folder wanted, a symlink found$/],
];

let folder: ScratchFolder, pristine = "", model = "", key = "";
let cache: WeightsCache, copy: Copy, entry = "";

before(async () => {
  folder = scratchFolder();
  pristine = folder.join("pristine");
  model = smallModel(folder.path).path;
  key = (await prepareIn(pristine, model)).copy.key;
});
after(() => folder[Symbol.dispose]());
afterEach(nothingLeft);

beforeEach(() => {
  const cacheDir = path.join(scratchFolder(folder.path).path, "cache");
  assert.equal(spawnSync("cp", ["-a", pristine, cacheDir]).status, 0);
  cache = WeightsCache.locate(cacheDir);
  copy = readCopy(cache, key)!;
  entry = cache.entry(key);
});

const look = (): Promise<Found> =>
  find({ cache, source: { path: model }, byteLength: statSync(model).size, options: {} });

describe("a copy that was read and found whole", () => {
  for (const [what, damage, why, code = "COPY_DAMAGED"] of DAMAGES) {
    it(`is refused with ${what}, and made anew`, async () => {
      assert.ok("copy" in await look());
      damage(entry);
      await assert.rejects(look(), failure("SystemError", code, why));
      const again = await prepareIn(cache.root, model);
      assert.deepEqual([again.made, again.copy.key], [true, key]);
      assert.deepEqual(readdirSync(cache.work), []);
      assert.deepEqual(await look(), { copy: again.copy });
    });
  }

  it("is refused when one of its files is another user's", { skip: notRoot }, async () => {
    for (const name of ["model.data", "model.onnx", "manifest.json", "."]) {
      chownSync(path.join(entry, name), 12345, 12345);
      await assert.rejects(look(), damaged(/others can write to it$/), name);
      chownSync(path.join(entry, name), 0, 0);
    }
    assert.ok("copy" in await look());
  });

  it("is still that when it was touched, copied or moved, and nothing else", async () => {
    const data = path.join(entry, "model.data"), other = path.join(cache.work, "data");
    utimesSync(data, 1, 1);
    assert.ok("copy" in await look());
    assert.equal(spawnSync("cp", ["-a", data, other]).status, 0);
    renameSync(other, data);
    assert.ok("copy" in await look());
    rmSync(path.join(entry, "used"));
    writeFileSync(path.join(entry, "more"), "");
    assert.ok("copy" in await look());
  });

  it("is none when it is gone", async () => {
    rmSync(entry, { recursive: true });
    assert.deepEqual(await look(), { why: "no copy is prepared: `coload prepare` makes one" });
  });

  it("is found damaged by a list where that needs no reading, and by verifying where it does", async () => {
    const state = () => inventory(cache, undefined).map(({ state, why = "" }) => `${state} ${why}`).join();
    assert.equal(state(), "usable ");
    flip(path.join(entry, "model.data"));
    assert.equal(state(), "usable ");
    await assert.rejects(verifyCopy(cache, copy), damaged(CHANGED("model.data")));
    flip(path.join(entry, "manifest.json"));
    assert.match(state(), /^damaged .*manifest.json is not as it was written$/);
  });

  for (const [what, damage] of [["a file", replaceByFile], ["a symlink", link]] as const) {
    it(`is listed as damaged where ${what} is in its place, and cleaned up`, async () => {
      damage(entry);
      assert.deepEqual(inventory(cache, undefined).map(({ key, state }) => [key, state]), [[key, "damaged"]]);
      await collect(cache, { maxAgeMs: Infinity, maxBytes: Infinity });
      assert.deepEqual(cache.keys(), []);
    });
  }
});

describe("a load from a cache whose copy is damaged", () => {
  const steps: Step[] = [
    { do: "load", model: "" },
    { do: "load", model: "", options: { shareWeights: "prepacked" } },
    { do: "load", model: "" },
    { do: "load", model: "", options: { shareWeights: "off" } },
  ];

  for (const name of ["model.data", "manifest.json"]) {
    it(`computes what is right: bit flipped in ${name}`, async () => {
      const here = steps.map((step) => ({ ...step, model }));
      const [whole] = await inChild(cache.root, here);
      flip(path.join(entry, name));
      const [auto, made, found, plain] = await inChild(cache.root, here);
      assert.deepEqual([whole!.mode, auto!.mode, made!.mode, found!.mode], [
        "prepacked",
        "off",
        "prepacked",
        "prepacked",
      ]);
      assert.match(auto!.reason!, new RegExp(`^Cannot use the prepared copy in ${entry}: .*${name}`));
      for (const { result } of [whole!, auto!, made!, found!]) assert.equal(result, plain!.result);
    });
  }

  it("never fails for a manifest of another shape", async () => {
    sealManifest(entry, JSON.stringify({ recipe: 7 }));
    const [auto, made] = await inChild(cache.root, steps.map((step) => ({ ...step, model })));
    assert.deepEqual([auto!.error, auto!.mode], [undefined, "off"]);
    assert.deepEqual([made!.error, made!.mode], [undefined, "prepacked"]);
  });
});
