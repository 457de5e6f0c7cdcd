import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import process from "node:process";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { refused } from "../memory/peers/peer.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import { WeightsCache } from "../../src/weights/cache.ts";
import type { Step } from "./children/request.ts";
import { inChild, prepareIn, readOnly, type ScratchFolder, scratchFolder, smallDisk, smallModel } from "./support.ts";

const STRANGER = ["setpriv", "--reuid", "12345", "--clear-groups"];
const notRoot = process.geteuid!() !== 0 && "only root can act for another user";

const unusable = (why: RegExp) => failure("SystemError", "CACHE_UNUSABLE", why);
const forbidden = (why: RegExp) => failure("SystemError", "CACHE_FORBIDDEN", why);
const permissions = (file: string): number => statSync(file).mode & 0o777;

/** What of a cache's names is neither its frame nor what is known of files. */
const kept = (names: readonly string[]): string[] =>
  names.filter((name) => !/^weights(?:\/lock|\/digests.*|\/entries|\/work)?$/.test(name));

let folder: ScratchFolder, model = "", cacheDir = "";

before(() => {
  folder = scratchFolder();
  chmodSync(folder.path, 0o755);
  model = smallModel(folder.path).path;
});
after(() => folder[Symbol.dispose]());
beforeEach(() => cacheDir = path.join(scratchFolder(folder.path).path, "cache"));
afterEach(nothingLeft);

describe("a cache that is not there", () => {
  it("is made, with the folders above it, for its user alone", async () => {
    const deep = path.join(cacheDir, "one", "two");
    const { made, copy } = await prepareIn(deep, model);
    assert.equal(made, true);
    for (const name of [".", "weights", "weights/entries", "weights/work", "weights/digests"]) {
      assert.equal(permissions(path.join(deep, name)), 0o700, name);
    }
    assert.equal(permissions(cacheDir), 0o700);
    assert.equal(permissions(copy.directory), 0o700);
    assert.deepEqual(readdirSync(copy.directory).sort(), ["manifest.json", "model.data", "model.onnx", "used"]);
    for (const name of ["model.onnx", "model.data"]) assert.equal(permissions(path.join(copy.directory, name)), 0o400);
    assert.deepEqual(readdirSync(path.join(deep, "weights/work")), []);
  });

  it("is not made by a load that only looks for copies", async () => {
    const [answer] = await inChild(cacheDir, [{ do: "load", model }]);
    assert.deepEqual([answer!.mode, answer!.reason], ["off", "no copy is prepared: `coload prepare` makes one"]);
    assert.ok(!existsSync(cacheDir));
  });

  it("is the user's by default, and without a HOME there is none", async () => {
    const { XDG_CACHE_HOME: _, HOME: __, ...env } = process.env as Record<string, string>;
    const steps: Step[] = [{ do: "load", model, options: { shareWeights: "prepacked" } }];
    const [none] = await inChild(undefined, steps, { env });
    assert.deepEqual([none!.mode, none!.reason], [
      "off",
      "Cannot keep prepared weights in the user's cache: the environment has no HOME; configure({ cacheDir }) or --dir names one",
    ]);
    const home = path.dirname(cacheDir),
      denoDir = process.env.DENO_DIR ?? path.join(process.env.HOME ?? "", ".cache/deno");
    const [some] = await inChild(undefined, steps, { env: { ...env, HOME: home, DENO_DIR: denoDir } });
    assert.equal(some!.mode, "prepacked", `${some!.reason}`);
    assert.equal(readdirSync(path.join(home, ".cache/coload/weights/entries")).length, 1);
  });
});

describe("a cache that cannot be used", () => {
  it("is refused where a file is", async () => {
    writeFileSync(cacheDir, "");
    await assert.rejects(prepareIn(cacheDir, model), unusable(/cache: a folder wanted, a file found$/));
    await assert.rejects(prepareIn(path.join(cacheDir, "below"), model), unusable(/below: Not a directory$/));
  });

  it("is refused where one of its own folders is a file", async () => {
    for (const name of ["weights/entries", "weights/work", "weights/digests", "weights"]) {
      WeightsCache.locate(cacheDir).make();
      rmSync(path.join(cacheDir, name), { recursive: true });
      writeFileSync(path.join(cacheDir, name), "");
      const why = new RegExp(`cache/${name}: a folder wanted, a file found$`);
      await assert.rejects(prepareIn(cacheDir, model), unusable(why), name);
      rmSync(cacheDir, { recursive: true });
    }
  });

  it("is refused through a symlink, to a folder or to nothing", async () => {
    const target = path.join(path.dirname(cacheDir), "target");
    mkdirSync(target, { mode: 0o700 });
    symlinkSync(target, cacheDir);
    await assert.rejects(prepareIn(cacheDir, model), forbidden(/it is a symlink; name the folder that it leads to/));
    symlinkSync(path.join(target, "nothing"), `${cacheDir}2`);
    await assert.rejects(prepareIn(`${cacheDir}2`, model), forbidden(/it is a symlink/));
    assert.deepEqual(readdirSync(target), []);
  });

  it("is refused where one of its own folders is a symlink", async () => {
    const cache = WeightsCache.locate(cacheDir), elsewhere = path.join(path.dirname(cacheDir), "elsewhere");
    mkdirSync(cache.path, { recursive: true, mode: 0o700 });
    chmodSync(cacheDir, 0o700);
    mkdirSync(elsewhere, { mode: 0o700 });
    symlinkSync(elsewhere, cache.entries);
    await assert.rejects(prepareIn(cacheDir, model), forbidden(/entries: it is a symlink/));
    assert.deepEqual(readdirSync(elsewhere), []);
  });

  for (const mode of [0o770, 0o702, 0o777]) {
    it(`is refused with mode ${mode.toString(8)}, with what mends it`, async () => {
      mkdirSync(cacheDir);
      chmodSync(cacheDir, mode);
      const why = new RegExp(`others can write to it \\(mode 0${mode.toString(8)}\\); chmod go-w mends it`);
      await assert.rejects(prepareIn(cacheDir, model), forbidden(why));
      assert.deepEqual(readdirSync(cacheDir), []);
      chmodSync(cacheDir, 0o755);
      assert.equal((await prepareIn(cacheDir, model)).made, true);
    });
  }

  it("is refused where others can write to one of its own folders, although a copy is there", async () => {
    const cache = WeightsCache.locate(cacheDir);
    await prepareIn(cacheDir, model);
    for (const part of [cache.path, cache.entries, cache.digests, cache.work]) {
      chmodSync(part, 0o770);
      await assert.rejects(prepareIn(cacheDir, model, "mapped"), forbidden(/others can write to it/), part);
      chmodSync(part, 0o700);
    }
    chmodSync(cache.entries, 0o770);
    const [answer] = await inChild(cacheDir, [{ do: "load", model }]);
    assert.equal(answer!.mode, "off");
    assert.match(answer!.reason!, /^Cannot trust prepared weights in .*entries: others can write to it \(mode 0770\)/);
  });

  it("is refused when it is another user's", { skip: notRoot }, async () => {
    mkdirSync(cacheDir, { mode: 0o700 });
    chownSync(cacheDir, 12345, 12345);
    await assert.rejects(prepareIn(cacheDir, model), forbidden(/it is user 12345's, not user 0's$/));
    chownSync(cacheDir, 0, 0);
    await prepareIn(cacheDir, model);
    const { entries } = WeightsCache.locate(cacheDir);
    chownSync(entries, 12345, 12345);
    const [answer] = await inChild(cacheDir, [{ do: "load", model, options: { shareWeights: "prepacked" } }]);
    assert.equal(answer!.mode, "off");
    assert.match(answer!.reason!, /entries: it is user 12345's, not user 0's$/);
  });
});

describe("a cache that cannot be written to", () => {
  it("is refused in words where its folder may not be made", { skip: notRoot || refused(STRANGER) }, async () => {
    const home = path.dirname(cacheDir);
    const env = { ...process.env as Record<string, string>, HOME: home, DENO_DIR: `${home}/deno` };
    mkdirSync(`${home}/deno`);
    chmodSync(`${home}/deno`, 0o777);
    chmodSync(home, 0o755);
    const [prepared, loaded] = await inChild(cacheDir, [
      { do: "prepare", model },
      { do: "load", model, options: { shareWeights: "mapped" } },
    ], { through: STRANGER, env });
    assert.equal(prepared!.error?.code, "CACHE_UNUSABLE", JSON.stringify(prepared));
    assert.match(
      prepared!.error!.message,
      /^Cannot keep prepared weights in .*: cannot make .*cache: Permission denied$/,
    );
    assert.deepEqual([loaded!.mode, loaded!.reason], ["off", prepared!.error!.message]);
  });

  it("is not blamed for a model that may not be read", { skip: notRoot || refused(STRANGER) }, async () => {
    const home = path.dirname(cacheDir), secret = path.join(home, "secret.onnx");
    const env = { ...process.env as Record<string, string>, HOME: home, DENO_DIR: `${home}/deno` };
    copyFileSync(model, secret);
    chmodSync(secret, 0o600);
    chmodSync(home, 0o777);
    const answers = await inChild(cacheDir, [
      { do: "load", model: secret, options: { shareWeights: "off" } },
      { do: "load", model: secret, options: { shareWeights: "prepacked" } },
      { do: "prepare", model: secret },
    ], { through: STRANGER, env });
    assert.deepEqual(answers.map(({ error }) => error?.code), ["SYSTEM", "SYSTEM", "SYSTEM"], JSON.stringify(answers));
  });

  const skip = refused(readOnly("/tmp"));

  it("still gives the copies that it has", { skip }, async () => {
    const { copy } = await prepareIn(cacheDir, model);
    const answers = await inChild(cacheDir, [
      { do: "load", model },
      { do: "load", model, options: { shareWeights: "prepacked" } },
      { do: "load", model, options: { shareWeights: "off" } },
      { do: "prepare", model, mode: "mapped" },
    ], { through: readOnly(cacheDir) });
    const [found, asked, plain, other] = answers;
    for (const { mode, reason, result } of [found!, asked!]) {
      assert.deepEqual([mode, result], ["prepacked", plain!.result], `${reason}`);
      assert.ok(reason!.endsWith(copy.directory));
    }
    assert.equal(other!.error?.code, "CACHE_UNUSABLE");
    assert.match(other!.error!.message, /Read-only file system$/);
  });
});

describe("a disk", () => {
  const skip = refused(smallDisk("/tmp", "1m"));

  /** What prepares on a disk of that size, and what it leaves there. */
  async function prepareOn(size: string, mode: "prepacked" | "mapped" = "prepacked") {
    mkdirSync(cacheDir, { mode: 0o700 });
    const steps: Step[] = [
      { do: "prepare", model, mode },
      { do: "load", model, options: { shareWeights: mode } },
      { do: "files" },
    ];
    const [prepared, loaded, left] = await inChild(cacheDir, steps, { through: smallDisk(cacheDir, size) });
    return { prepared: prepared!, loaded: loaded!, files: left!.files! };
  }

  for (
    const [when, size, mode] of [
      ["before anything is written", "3m", "prepacked"],
      ["before anything is written, mapped", "1900k", "mapped"],
      ["while the weights are laid out", "4500k", "prepacked"],
      ["while the copy is written", "5m", "prepacked"],
      ["at the end of it", "6m", "prepacked"],
      ["while the copy is written, mapped", "2100k", "mapped"],
    ] as const
  ) {
    it(`that is full ${when} is told of, and left as it was`, { skip }, async () => {
      const { prepared, loaded, files } = await prepareOn(size, mode);
      assert.equal(prepared.error?.code, "DISK_FULL", JSON.stringify(prepared));
      assert.match(prepared.error!.message, /^Cannot keep prepared weights in .*: the disk is full: /);
      assert.equal(loaded.mode, "off");
      assert.match(loaded.reason!, /the disk is full/);
      assert.deepEqual(kept(files), []);
    });
  }

  it("that has room for a copy gets one", { skip }, async () => {
    const { prepared, loaded } = await prepareOn("12m");
    assert.deepEqual([prepared.made, prepared.refused, loaded.mode], [true, "", "prepacked"], JSON.stringify(prepared));
  });

  it(
    "other than the model's is as good",
    { skip: !existsSync("/dev/shm") && "there is no /dev/shm here" },
    async () => {
      using other = scratchFolder("/dev/shm");
      assert.notEqual(statSync(other.path).dev, statSync(model).dev);
      const { made, copy } = await prepareIn(other.path, model);
      const [found, plain] = await inChild(other.path, [
        { do: "load", model },
        { do: "load", model, options: { shareWeights: "off" } },
      ]);
      assert.deepEqual([made, found!.mode, found!.result], [true, "prepacked", plain!.result], `${found!.reason}`);
      assert.ok(found!.reason!.endsWith(copy.directory));
    },
  );
});

describe("what is no part of a cache", () => {
  it("does no harm in it", async () => {
    const cache = WeightsCache.locate(cacheDir);
    cache.make();
    for (const stray of [".nfs0000000123", "notes.txt"]) {
      for (const part of [cache.root, cache.path, cache.entries, cache.digests]) {
        writeFileSync(path.join(part, stray), "stray");
      }
    }
    assert.equal((await prepareIn(cacheDir, model)).made, true);
    assert.equal(cache.keys().length, 1);
  });

  it("does no harm among what is being made", async () => {
    const cache = WeightsCache.locate(cacheDir);
    cache.make();
    writeFileSync(path.join(cache.work, ".nfs0000000123"), "stray");
    assert.equal((await prepareIn(cacheDir, model)).made, true);
  });

  it("is told of where the lock should be", async () => {
    const cache = WeightsCache.locate(cacheDir);
    cache.make();
    mkdirSync(path.join(cache.path, "lock"));
    await assert.rejects(prepareIn(cacheDir, model), unusable(/lock: Is a directory$/));
    assert.deepEqual(kept(readdirSync(cacheDir, { recursive: true }).map(String)), []);
  });
});
