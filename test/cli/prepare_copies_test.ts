import assert from "node:assert/strict";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { keyOf } from "../../src/weights/key.ts";
import { writeManifest } from "../../src/weights/manifest.ts";
import type { Prepared } from "../../src/weights/prepare.ts";
import { prepareIn, smallModel } from "../weights/support.ts";
import { type Outcome, runScript } from "./spawn.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

type Copy = Prepared["copy"];

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url)), SLOW = { timeout: 60_000 };

/** Turns a bit of a copy's weights. */
function damage({ directory }: Copy): void {
  const file = path.join(directory, "model.data"), bytes = readFileSync(file);
  bytes[5000]! ^= 1;
  chmodSync(file, 0o600);
  writeFileSync(file, bytes);
  chmodSync(file, 0o400);
}

/** Puts a copy beside one as another machine would have made it. */
function putForeign({ directory, manifest }: Copy): string {
  const { processor } = manifest.fields, features = [...processor.features, "zz_quantum"];
  const fields = { ...manifest.fields, processor: { ...processor, features } }, key = keyOf(fields);
  const entry = path.join(path.dirname(directory), key);
  mkdirSync(entry, { mode: 0o700 });
  for (const name of ["model.onnx", "model.data"]) cpSync(path.join(directory, name), path.join(entry, name));
  writeManifest(entry, { ...manifest, fields });
  return key;
}

describe("coload prepare", () => {
  let folder: TemporaryFolder, cache: string, models: string[], copies: Copy[];

  beforeEach(async () => {
    folder = new TemporaryFolder();
    cache = folder.join("cache");
    models = ["a.onnx", "b.onnx"].map((name, i) => smallModel(folder.path, { name, byteLength: (2 + i) << 20 }).path);
    copies = [];
    for (const model of models) copies.push((await prepareIn(cache, model)).copy);
  });
  afterEach(() => folder[Symbol.dispose]());

  const prepare = (...args: string[]): Promise<Outcome> => runScript(MAIN, ["prepare", "--dir", cache, ...args]);
  const json = async (...args: string[]): Promise<Record<string, unknown>[]> =>
    JSON.parse((await prepare("--json", ...args)).stdout);
  const keys = (): string[] => readdirSync(path.join(cache, "weights/entries")).toSorted();

  describe("--list", () => {
    it("says what is there, that used last first", async () => {
      const { code, stdout, stderr } = await prepare("--list");
      assert.deepEqual([code, stderr], [0, ""]);
      const lines = [1, 0].flatMap((i) => [
        `${copies[i]!.key.slice(0, 12)}  ${models[i]}`,
        "  prepacked, N MB shared, N MB on disk, used Ns ago",
      ]);
      const found = stdout.replace(/[0-9.]+( MB|s ago)/g, "N$1");
      assert.equal(found, [...lines, `2 in ${cache}/weights/entries, N MB`, ""].join("\n"));
    });

    it("says so in JSON, with states and reasons", async () => {
      const foreign = putForeign(copies[0]!);
      writeFileSync(path.join(copies[1]!.directory, "manifest.json"), "{}");
      const found = Object.fromEntries((await json("--list")).map((entry) => [entry.key, entry]));
      const { state, mode, model, sharedBytes, madeAt, directory, why } = found[copies[0]!.key]!;
      const { manifest, directory: wanted } = copies[0]!;
      assert.deepEqual(
        [state, mode, model, sharedBytes, Date.parse(madeAt as string), directory, why],
        ["usable", "prepacked", models[0], manifest.sharedBytes, manifest.madeAt, wanted, undefined],
      );
      const states = [foreign, copies[1]!.key].map((key) => [found[key]!.state, found[key]!.why]);
      assert.deepEqual(states[0], ["foreign", "made on a processor with zz_quantum, which this one is without"]);
      assert.equal(states[1]![0], "damaged");
      assert.match(states[1]![1] as string, /manifest\.json is not as it was written$/);
    });

    it("says that there is nothing, and makes nothing", async () => {
      rmSync(cache, { recursive: true });
      const { code, stdout } = await prepare("--list");
      assert.deepEqual([code, stdout], [0, `Nothing is prepared in ${cache}/weights\n`]);
      assert.deepEqual(await json("--list"), []);
      assert.ok(!existsSync(cache));
    });
  });

  describe("--verify", () => {
    it("finds copies as they were made", async () => {
      const { code, stdout, stderr } = await prepare("--verify");
      assert.equal(code, 0, stderr);
      assert.equal(stdout.match(/\.onnx: is as it was made\n/g)!.length, 2);
    });

    it("finds a turned bit, and looks at no more than it is told to", async () => {
      damage(copies[0]!);
      const { code, stdout } = await prepare("--verify");
      assert.equal(code, 1);
      assert.match(stdout, /a\.onnx: .* what is in model\.data has changed since it was written$/m);
      assert.match(stdout, /b\.onnx: is as it was made$/m);
      assert.equal((await prepare("--verify", models[1]!)).code, 0);
      const [found] = await json("--verify", copies[0]!.key.slice(0, 8));
      assert.match(found!.problem as string, /what is in model\.data has changed/);
    });

    it("leaves what is for other machines alone, and says what is not there", async () => {
      const foreign = putForeign(copies[0]!), { code, stdout } = await prepare("--verify", foreign);
      assert.equal(code, 0);
      assert.match(stdout, /: not looked at: made on a processor with zz_quantum/);
      const missing = await prepare("--verify", "0123456789", models[0]!);
      assert.equal(missing.code, 1);
      assert.match(missing.stderr, /^0123456789: nothing is prepared from it, and no copy has such a key\n$/);
      assert.match(missing.stdout, /a\.onnx: is as it was made/);
    });

    it("finds what is missing or cut", async () => {
      rmSync(path.join(copies[0]!.directory, "model.data"));
      chmodSync(path.join(copies[1]!.directory, "model.data"), 0o600);
      writeFileSync(path.join(copies[1]!.directory, "model.data"), new Uint8Array(4096));
      const { code, stdout } = await prepare("--verify");
      assert.equal(code, 1);
      assert.match(stdout, /a\.onnx: .* model\.data: No such file or directory$/m);
      assert.match(stdout, /b\.onnx: .* model\.data: \d+ bytes wanted, 4096 found$/m);
    });
  });

  describe("--remove", () => {
    it("removes by a model's path, and by the start of a key", async () => {
      const { code, stdout } = await prepare("--remove", models[0]!);
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`^Removed ${copies[0]!.key.slice(0, 12)}  ${models[0]}, [0-9.]+ MB\n$`));
      assert.deepEqual(keys(), [copies[1]!.key]);
      assert.equal((await prepare("--remove", copies[1]!.key.slice(0, 4))).code, 0);
      assert.deepEqual(keys(), []);
    });

    it("says what it does not know, and removes the rest", async () => {
      const { code, stderr } = await prepare("--remove", "nothing.onnx", "abc", models[0]!);
      assert.equal(code, 1);
      assert.match(stderr, /^nothing\.onnx: nothing is prepared .*\nabc: nothing is prepared .*\n$/);
      assert.deepEqual(keys(), [copies[1]!.key]);
      rmSync(cache, { recursive: true });
      assert.equal((await prepare("--remove", models[0]!)).code, 1);
    });

    it("knows a model by another path to the same file, and by a relative one when it is gone", SLOW, async () => {
      const link = folder.join("link.onnx");
      symlinkSync(models[0]!, link);
      assert.equal((await prepare("--remove", link)).code, 0);
      rmSync(models[1]!);
      const { code } = await runScript(MAIN, ["prepare", "--dir", cache, "--remove", "b.onnx"], { cwd: folder.path });
      assert.equal(code, 0);
    });

    it("knows a model by what is in it, as preparing does", async () => {
      const twin = folder.join("twin.onnx");
      cpSync(models[0]!, twin);
      assert.match((await prepare(twin)).stdout, /twin\.onnx: was prepared before/);
      assert.equal((await prepare("--remove", twin)).code, 0);
    });

    it("tells models apart whose files are the same and whose external data is not", SLOW, async () => {
      const [one, other] = ["one", "other"].map((name) => {
        mkdirSync(folder.join(name));
        return smallModel(folder.join(name), { external: true });
      });
      writeFileSync(other!.dataPath!, readFileSync(other!.dataPath!).fill(0, 0, 4096));
      for (const { path } of [one!, other!]) copies.push((await prepareIn(cache, path)).copy);
      assert.equal((await prepare("--remove", other!.path)).code, 0);
      assert.deepEqual(keys().toSorted(), copies.slice(0, 3).map(({ key }) => key).toSorted());
    });

    it("removes what is damaged by its key", async () => {
      writeFileSync(path.join(copies[0]!.directory, "manifest.json"), "");
      assert.equal((await prepare("--remove", copies[0]!.key)).code, 0);
      assert.deepEqual(keys(), [copies[1]!.key]);
    });
  });

  describe("--gc", () => {
    it("keeps what was used of late, and removes what is damaged or left over", async () => {
      const third = await prepareIn(cache, smallModel(folder.path, { name: "c.onnx", byteLength: 4 << 20 }).path);
      writeFileSync(path.join(third.copy.directory, "manifest.json"), "");
      mkdirSync(path.join(cache, "weights/work/left-over"));
      const { code, stdout } = await prepare("--gc");
      assert.equal(code, 0);
      assert.match(stdout, /^Removed 1 of the copies in .*, [0-9.]+ MB\n$/);
      assert.deepEqual(keys(), copies.map(({ key }) => key).toSorted());
      assert.deepEqual(readdirSync(path.join(cache, "weights/work")), []);
    });

    it("removes what is unused for long", async () => {
      const removed = await json("--gc", "--max-age", "0s");
      assert.deepEqual(removed.map(({ key }) => key).toSorted(), copies.map(({ key }) => key).toSorted());
      assert.deepEqual(keys(), []);
      assert.deepEqual(await json("--gc"), []);
    });

    it("keeps those used last within a size", async () => {
      const [entry] = await json("--list");
      assert.equal(entry!.key, copies[1]!.key);
      await prepare("--gc", "--max-size", `${(entry!.byteLength as number) + 1}B`);
      assert.deepEqual(keys(), [copies[1]!.key]);
      await prepare("--gc", "--max-size", "0.5kB");
      assert.deepEqual(keys(), []);
    });

    it("works where nothing is, and beside processes that prepare", SLOW, async () => {
      const done = await Promise.all([
        prepare("--force", models[0]!),
        prepare("--force", models[1]!),
        prepare("--gc", "--max-age", "0s"),
        prepare("--gc"),
        prepare(models[0]!),
      ]);
      assert.deepEqual(done.map(({ code }) => code), [0, 0, 0, 0, 0], JSON.stringify(done));
      for (const model of models) assert.equal((await prepareIn(cache, model)).copy.manifest.refused, undefined);
      assert.deepEqual(readdirSync(path.join(cache, "weights/work")), []);
      rmSync(cache, { recursive: true });
      assert.equal((await prepare("--gc")).code, 0);
      assert.ok(!existsSync(cache));
    });
  });
});
