import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  fstatSync,
  futimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { fileIdentity } from "../../ffi/files.ts";
import { startOrt } from "../../src/ort/environment.ts";
import { WeightsCache } from "../../src/weights/cache.ts";
import { digestOf, digestOfBytes, type DigestOptions, knownDigest } from "../../src/weights/digests.ts";
import { checkUnchanged, digestSource, knownContent } from "../../src/weights/source.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";
import { inChild, type ScratchFolder, scratchFolder, smallModel } from "./support.ts";

const MIB = 1 << 20;
const CHANGED = failure("SystemError", "MODEL_CHANGED", /it was written to meanwhile/);

let folder: ScratchFolder, cache: WeightsCache, file = "", read = 0;

before(async () => {
  await startOrt(); // whose threads read
  folder = scratchFolder();
  cache = WeightsCache.locate(folder.join("cache"));
  cache.make();
});
after(() => folder[Symbol.dispose]());
afterEach(nothingLeft);
beforeEach(() => {
  file = folder.join(randomBytes(8).toString("hex"));
  read = 0;
});

const digest = async (more: Partial<DigestOptions> = {}): Promise<string> =>
  (await digestOf(file, { cache, onBytes: (count) => read += count, ...more })).digest;

function stateOf(file: string): string {
  const found = fileIdentity(file);
  assert.ok(!("error" in found));
  return found.state;
}

/** Where it is remembered what is in a file of this state. */
const memoOf = (state: string): string =>
  path.join(cache.digests, createHash("sha256").update(state).digest("hex").slice(0, 40));

/** Writes over a file in place, and sets its time of change of content back. */
function overwrite(bytes: Uint8Array): void {
  const fd = openSync(file, "r+"), { atime, mtime } = fstatSync(fd);
  writeSync(fd, bytes);
  futimesSync(fd, atime, mtime);
  closeSync(fd);
}

describe("a file's digest", () => {
  for (const size of [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 25 * MIB]) {
    it(`is that of the same ${size} bytes in memory`, async () => {
      const bytes = new Uint8Array(randomBytes(size));
      writeFileSync(file, bytes);
      assert.equal(await digest(), await digestOfBytes(bytes, undefined));
      assert.equal(read, size);
    });
  }

  it("is another for the same chunks in another order", async () => {
    const [a, b] = [randomBytes(8 * MIB), randomBytes(8 * MIB)];
    const digests = await Promise.all(
      [[a, b], [b, a], [a], [a, a]].map((parts) => digestOfBytes(Buffer.concat(parts), undefined)),
    );
    assert.equal(new Set(digests).size, 4);
  });

  it("is found without reading as long as nobody touches the file", async () => {
    writeFileSync(file, randomBytes(MIB));
    const first = await digest();
    assert.equal(read, MIB);
    assert.equal(await digest(), first);
    assert.equal(knownDigest(cache, stateOf(file)), first);
    assert.equal(read, MIB);
    assert.equal(await digest({ again: true }), first);
    assert.equal(read, 2 * MIB);
  });

  const touches: [string, () => void][] = [
    ["its time is set", () => utimesSync(file, 1, 1)],
    ["it is renamed and back", () => (renameSync(file, `${file}.x`), renameSync(`${file}.x`, file))],
    ["it is written as it was", () => overwrite(readFileSync(file))],
  ];
  for (const [what, touch] of touches) {
    it(`is taken again when ${what}`, async () => {
      writeFileSync(file, randomBytes(MIB));
      const first = await digest();
      touch();
      assert.equal(await digest(), first);
      assert.equal(read, 2 * MIB);
    });
  }

  it("is right although the file changes as fast as its clock can tell, with its time set back", async () => {
    const [a, b] = [randomBytes(4096), randomBytes(4096)],
      wanted = [await digestOfBytes(a, undefined), await digestOfBytes(b, undefined)];
    writeFileSync(file, a);
    for (let i = 0; i < 30; i++) {
      overwrite(i % 2 ? b : a);
      assert.equal(await digest(), wanted[i % 2], `round ${i}`);
    }
  });

  it("is not taken of what is written to meanwhile, and then is that of the last bytes", async () => {
    const [a, b] = [randomBytes(20 * MIB), randomBytes(20 * MIB)];
    writeFileSync(file, a);
    await assert.rejects(digest({ onBytes: () => overwrite(b.subarray(0, 4096)) }), CHANGED);
    await assert.rejects(digest({ onBytes: () => truncateSync(file, MIB) }), CHANGED);
    assert.equal(await digest(), await digestOfBytes(new Uint8Array(readFileSync(file)), undefined));
  });

  it("is given up on when the signal aborts", async () => {
    writeFileSync(file, randomBytes(20 * MIB));
    const controller = new AbortController(), reason = new Error("enough");
    const onBytes = () => controller.abort(reason);
    await assert.rejects(digest({ onBytes, signal: controller.signal }), reason);
    assert.equal(knownDigest(cache, stateOf(file)), undefined);
  });

  it("is not that of a file that is not there, or of a folder", async () => {
    await assert.rejects(digest(), failure("SystemError", "SYSTEM", /^Cannot read .*: No such file or directory$/));
    mkdirSync(file);
    await assert.rejects(digest(), failure("SystemError", "SYSTEM", /^Cannot read .*directory/));
  });
});

describe("what is remembered of a file", () => {
  const FORGED = "0".repeat(64);

  it("is believed of its own state", async () => {
    writeFileSync(file, randomBytes(MIB));
    const state = stateOf(file);
    writeFileSync(memoOf(state), `${FORGED}\n${state}\n`);
    assert.equal(await digest(), FORGED);
    assert.equal(read, 0);
  });

  const wrong: [string, (state: string) => string][] = [
    ["nothing", () => ""],
    ["another state", (state) => `${FORGED}\n${state}1\n`],
    ["a digest alone", () => FORGED],
    ["a digest cut short", (state) => `${FORGED.slice(1)}\n${state}\n`],
    ["what is no digest", (state) => `${"g".repeat(64)}\n${state}\n`],
    ["bytes that are no text", () => "\0\xff\n\n"],
  ];
  for (const [what, content] of wrong) {
    it(`is not believed when it is ${what}, and is mended`, async () => {
      const bytes = randomBytes(MIB);
      writeFileSync(file, bytes);
      const state = stateOf(file), memo = memoOf(state), right = await digestOfBytes(bytes, undefined);
      writeFileSync(memo, content(state));
      assert.equal(await digest(), right);
      assert.equal(read, MIB);
      assert.equal(readFileSync(memo, "utf8"), `${right}\n${state}\n`);
    });
  }

  it("does no harm when a folder is in its place, or it has none", async () => {
    const bytes = randomBytes(MIB);
    writeFileSync(file, bytes);
    const memo = memoOf(stateOf(file));
    mkdirSync(memo);
    assert.equal(await digest(), await digestOfBytes(bytes, undefined));
    assert.deepEqual(readdirSync(cache.digests).filter((name) => name.includes(".")), []);
    rmSync(memo, { recursive: true });
    writeFileSync(file, bytes);
    const nowhere = WeightsCache.locate(folder.join("nowhere"));
    assert.equal(await digest({ cache: nowhere }), await digestOfBytes(bytes, undefined));
  });

  it("spares the next process from reading, also after the first copy in a new cache", async () => {
    const model = smallModel(folder.path, { byteLength: 8 * MIB }).path, dir = folder.join("new");
    await inChild(dir, [{ do: "prepare", model }]);
    const [first] = await inChild(dir, [{ do: "load", model }]), [second] = await inChild(dir, [{ do: "load", model }]);
    assert.deepEqual([first!.mode, second!.mode], ["prepacked", "prepacked"], `${first!.reason}`);
    assert.ok(second!.read! < MIB, `the second read ${second!.read} bytes`);
    utimesSync(model, 1, 1);
    const [touched] = await inChild(dir, [{ do: "load", model }]);
    assert.deepEqual([touched!.mode, touched!.read! >= statSync(model).size], ["prepacked", true]);
    assert.ok(first!.read! < MIB, `the first read ${first!.read} bytes`);
  });
});

describe("what is in a model", () => {
  it("is in its external data too, each by its name, and known when all of it is", async () => {
    const { path: source, dataPath } = smallModel(folder.path, { name: `${path.basename(file)}.onnx`, external: true });
    assert.equal(knownContent(source, cache), undefined);
    const digested = await digestSource({ path: source }, { cache });
    assert.deepEqual(digested.content, {
      model: await digestOfBytes(readFileSync(source), undefined),
      external: [[path.basename(dataPath!), await digestOfBytes(readFileSync(dataPath!), undefined)]],
    });
    assert.deepEqual(knownContent(source, cache), digested.content);
    checkUnchanged(digested);
    utimesSync(dataPath!, 1, 1);
    assert.equal(knownContent(source, cache), undefined);
    assert.throws(
      () => checkUnchanged(digested),
      failure("SystemError", "MODEL_CHANGED", /it was written to meanwhile/),
    );
    rmSync(dataPath!);
    assert.throws(() => checkUnchanged(digested), failure("SystemError", "MODEL_CHANGED", /it is gone/));
    await assert.rejects(digestSource({ path: source }, { cache }), failure("SystemError", "SYSTEM", /No such file/));
  });

  it("is not told of what is no model, and a load says that it is none", async () => {
    const garbage = `${file}.onnx`, bytes = new Uint8Array(2 * MIB).fill(255);
    writeFileSync(garbage, bytes);
    const options = { shareWeights: "prepacked" } as const;
    const answers = await inChild(folder.join("garbage"), [
      { do: "load", model: garbage, options: { shareWeights: "off" } },
      { do: "load", model: garbage, options },
      { do: "prepare", model: garbage },
    ]);
    assert.deepEqual(answers.map(({ error }) => error?.code), ["MODEL_INVALID", "MODEL_INVALID", "NOT_SHAREABLE"]);
  });

  it("is the same for a model in memory", async () => {
    const { path: source } = smallModel(folder.path), bytes = new Uint8Array(readFileSync(source));
    const [one, other] = await Promise.all([{ path: source }, { bytes }].map((from) => digestSource(from, { cache })));
    assert.deepEqual(one!.content, other!.content);
  });
});
