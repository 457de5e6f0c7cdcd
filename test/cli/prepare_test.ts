import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { sequenceInput } from "../support/models.ts";
import { prepareIn, smallModel } from "../weights/support.ts";
import { inPairs, onBun, type Outcome, outcome, runScript, startScript } from "./spawn.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const noScript = spawnSync("script", ["--version"]).status !== 0 && "script is not on the PATH";
const SHOW_CURSOR = "\x1b[?25h";
const SLOW = { timeout: 60_000 };

describe("coload prepare", () => {
  let folder: TemporaryFolder, cache: string, model: string;

  beforeEach(() => {
    folder = new TemporaryFolder();
    cache = folder.join("cache");
    model = smallModel(folder.path).path;
  });
  afterEach(() => folder[Symbol.dispose]());

  const prepare = (...args: string[]): Promise<Outcome> => runScript(MAIN, ["prepare", "--dir", cache, ...args]);
  const at = (name: string): string[] => readdirSync(path.join(cache, "weights", name));

  it("makes a copy, and says in lines what it does when nobody watches", async () => {
    const { code, stdout, stderr } = await prepare(model);
    assert.equal(code, 0, stderr);
    const [key] = at("entries");
    const wanted = [`${model}: prepared in N s, prepacked, N MB shared`, `  ${cache}/weights/entries/${key}`, ""];
    assert.equal(stdout.replace(/[0-9.]+ (s|MB)/g, "N $1"), wanted.join("\n"));
    const phases = ["reading", "running the model as it is", "converting", "packing", "verifying"];
    const lines = stderr.trimEnd().split("\n");
    assert.deepEqual(
      lines.map((line) => line.replace(/\([0-9]+\.[0-9] s\)$/, "")),
      phases.map((p) => `${model}: ${p} `),
    );
    assert.deepEqual(at("work"), []);
    assert.equal(statSync(cache).mode & 0o777, 0o700);
  });

  it("shows a bar on a terminal, which goes away", { skip: noScript }, async () => {
    const runtime = onBun ? [process.execPath, "run"] : [process.execPath, "run", "-A", "--no-lock"];
    const command = [...runtime, MAIN, "prepare", "--dir", cache, model].map((word) => `'${word}'`).join(" ");
    const { code, stdout } = await outcome(spawn("script", ["-qec", command, "/dev/null"]));
    assert.equal(code, 0, stdout);
    assert.match(stdout, /model\.onnx [━─]{32} reading 0 MB, \d+\.\d s/);
    const [bar, rest] = stdout.split(SHOW_CURSOR);
    assert.ok(!bar!.includes("prepared"));
    assert.match(rest!, /model\.onnx: prepared in/);
  });

  it("finds what is there, and makes it anew when it is told to", async () => {
    await prepareIn(cache, model);
    const before = statSync(path.join(cache, "weights/entries", at("entries")[0]!)).ino;
    const found = await prepare(model);
    assert.deepEqual([found.code, /was prepared before, prepacked, [0-9.]+ MB/.test(found.stdout)], [0, true]);
    assert.equal(statSync(path.join(cache, "weights/entries", at("entries")[0]!)).ino, before);
    const anew = await prepare("--force", model);
    assert.deepEqual([anew.code, /: prepared in/.test(anew.stdout)], [0, true], anew.stderr);
    assert.notEqual(statSync(path.join(cache, "weights/entries", at("entries")[0]!)).ino, before);
    assert.deepEqual([at("entries").length, at("work")], [1, []]);
  });

  it("prepares several models, one after the other, whatever becomes of one", async () => {
    const other = smallModel(folder.path, { name: "other.onnx", byteLength: 3 << 20 }).path;
    const { code, stdout } = await prepare("--json", model, folder.join("missing.onnx"), other);
    assert.equal(code, 1);
    const [first, missing, last] = JSON.parse(stdout);
    assert.deepEqual([first.model, first.made, last.model, last.made], [model, true, other, true]);
    assert.ok(first.sharedBytes >= 2 << 20 && last.sharedBytes >= 3 << 20, stdout);
    assert.match(missing.problem, /^Cannot load model .*missing\.onnx: No such file or directory$/);
    assert.deepEqual(at("entries").toSorted(), [first.key, last.key].toSorted());
  });

  it("keeps weights as they are in the mapped mode, beside the other copy", async () => {
    await prepareIn(cache, model);
    const { code, stdout, stderr } = await prepare("--mode", "mapped", model);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /: prepared in [0-9.]+ s, mapped, /);
    assert.doesNotMatch(stderr, /packing/);
    assert.equal(at("entries").length, 2);
  });

  it("says why a model's weights cannot be shared, each time", async () => {
    const small = folder.join("small.onnx"), refused = folder.join("refused.onnx"), padding = 2 << 20;
    const size = [0x80 | padding & 0x7f, 0x80 | padding >> 7 & 0x7f, 0x80 | padding >> 14 & 0x7f, padding >> 21];
    writeFileSync(small, sequenceInput());
    writeFileSync(refused, Buffer.concat([sequenceInput(), Uint8Array.of(0x32, ...size), Buffer.alloc(padding, "a")]));
    const first = await prepare(small, refused);
    assert.deepEqual([first.code, first.stdout], [1, ""]);
    assert.match(first.stderr, /small\.onnx: Cannot share the weights of .*, and sharing pays from 1 MB on$/m);
    assert.match(first.stderr, /refused\.onnx: not shared: input "\w+" is .*, for which no value can be made up$/m);
    const again = await prepare(refused);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^(.*: finding .*\n)?.*: reading \([0-9.]+ s\)\n.*: not shared: input/);
  });

  it("tries sizes of open dimensions that it is given, and is not bound to those of a try before", async () => {
    const refused = await prepare("--dim", "batch=1000000000", model);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /not shared: no run with made-up inputs works: .* is too large to try$/m);
    const { code, stderr } = await prepare("--dim", "batch=5", model);
    assert.equal(code, 0, stderr);
  });

  it("says which open dimensions there are when it is given another", async () => {
    const { code, stderr } = await prepare("--force", "--dim", "other=3", model);
    assert.equal(code, 1);
    assert.match(stderr, /Cannot set dimension "other": the model's open dimensions are batch$/m);
  });

  it("leaves a good copy when it is to make it anew and cannot", async () => {
    await prepareIn(cache, model);
    await prepare("--force", "--dim", "batch=1000000000", model);
    const { code, stderr } = await prepare(model);
    assert.equal(code, 0, stderr);
  });

  it("takes models by any path, and a relative folder", async () => {
    const odd = folder.join("with spaces", "é ☃\nline", 'a\'b "c".onnx');
    mkdirSync(path.dirname(odd), { recursive: true });
    copyFileSync(model, odd);
    const { code, stdout, stderr } = await runScript(MAIN, [
      "prepare",
      "--json",
      "--dir",
      "c d/e",
      path.relative(folder.path, odd),
    ], {
      cwd: folder.path,
    });
    assert.equal(code, 0, stderr);
    assert.equal(JSON.parse(stdout)[0].directory, folder.join("c d/e/weights/entries", JSON.parse(stdout)[0].key));
    assert.ok((await prepareIn(folder.join("c d/e"), model)).made === false, "the content counts, not the path");
  });

  it("keeps copies in a folder whose name has a line break", async () => {
    cache = folder.join("cache\nfolder");
    const { code, stderr } = await prepare(model);
    assert.equal(code, 0, stderr);
  });

  it("uses the user's cache, and says what to do where there is none", async () => {
    const { HOME: _, XDG_CACHE_HOME: __, ...env } = process.env as Record<string, string>;
    env.DENO_DIR ??= path.join(process.env.HOME!, ".cache/deno");
    const good = await runScript(MAIN, ["prepare", model], { env: { ...env, XDG_CACHE_HOME: folder.join("xdg") } });
    assert.equal(good.code, 0, good.stderr);
    assert.ok(existsSync(folder.join("xdg/coload/weights/entries")));
    const { code, stderr } = await runScript(MAIN, ["prepare", model], { env });
    assert.equal(code, 1);
    assert.match(stderr, /the environment has no HOME/);
    assert.match(stderr, /--dir/);
  });

  it("refuses what it cannot understand", SLOW, async () => {
    const wrong = [
      ...[
        "batch",
        "batch=",
        "=4",
        "batch=-1",
        "batch=1.5",
        "batch=x",
        "batch=0",
        "batch=1e3",
        "batch=99999999999999999999",
      ]
        .map((dim) => ["--dim", dim, model]),
      ["--mode", "fast", model],
      ["--dir", "", model],
      ["--max-age", "5", "--gc"],
      ["--max-age", "-1d", "--gc"],
      ["--max-size", "5gb", "--gc"],
      ["--max-size", "", "--gc"],
      ["--list", "--gc"],
      ["--verify", "--remove", model],
      ["--force", "--remove", model],
      ["--gc", model],
      ["--list", model],
      ["--remove"],
      [],
    ];
    const accepted: string[] = [];
    await inPairs(wrong, async (args) => {
      const { code } = await runScript(MAIN, ["prepare", "--dir", cache, ...args], { cwd: folder.path });
      if (code !== 2) accepted.push(`${args.join(" ")}: ${code}`);
    });
    assert.deepEqual(accepted, []);
  });

  it("shows its options", async () => {
    const { code, stdout } = await prepare("--help");
    assert.equal(code, 0);
    const flags = ["mode", "dim", "force", "list", "verify", "remove", "gc", "max-age", "max-size", "dir", "json"];
    for (const flag of flags) assert.match(stdout, new RegExp(`^  --${flag}\\b`, "m"));
  });
});

describe("coload prepare, interrupted", () => {
  const PHASES = ["reading", "running the model", "converting", "packing", "verifying"];

  /** Resolves when a process has said that a phase begins. */
  function until(child: ChildProcess, phase: string): Promise<void> {
    let said = "";
    return new Promise((resolve, reject) => {
      child.stderr!.on("data", (chunk) => (said += chunk).includes(phase) && resolve());
      child.once("exit", () => reject(new Error(`ended without ${phase}: ${said}`)));
    });
  }

  const cases = [["SIGINT", 130, PHASES], ["SIGTERM", 143, ["packing"]], ["SIGHUP", 129, ["converting"]]] as const;
  for (const [signal, exitCode, phases] of cases) {
    it(`by ${signal} ends at once and leaves nothing`, SLOW, async () => {
      using folder = new TemporaryFolder();
      const { path: model } = smallModel(folder.path, { byteLength: 32 << 20 });
      for (const phase of phases) {
        const cache = folder.join(phase), child = startScript(MAIN, ["prepare", "--dir", cache, model]);
        const ended = outcome(child);
        await until(child, phase);
        const start = performance.now();
        process.kill(child.pid!, signal); // after child.kill(), Deno reports the signal in place of the exit code
        const { code, stderr } = await ended;
        assert.equal(code, exitCode, `${phase}: ${stderr}`);
        assert.ok(performance.now() - start < 5000);
        assert.match(stderr, new RegExp(`coload: interrupted by ${signal}\n$`));
        if (phase === "reading") continue;
        for (const name of ["entries", "work"]) assert.deepEqual(readdirSync(path.join(cache, "weights", name)), []);
      }
    });
  }

  it("while it waits for another one, leaves that one alone", SLOW, async () => {
    using folder = new TemporaryFolder();
    const { path: model } = smallModel(folder.path, { byteLength: 32 << 20 }), cache = folder.join("cache");
    const first = startScript(MAIN, ["prepare", "--dir", cache, model]), made = outcome(first);
    await until(first, "running");
    process.kill(first.pid!, "SIGSTOP");
    const second = startScript(MAIN, ["prepare", "--dir", cache, model]), ended = outcome(second);
    await until(second, "waiting for another process that prepares it");
    process.kill(second.pid!, "SIGINT");
    assert.equal((await ended).code, 130);
    process.kill(first.pid!, "SIGCONT");
    assert.equal((await made).code, 0);
    assert.equal(readdirSync(path.join(cache, "weights/entries")).length, 1);
  });
});
