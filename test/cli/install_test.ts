import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { after, afterEach, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { userCacheDirectory } from "../../ffi/cache_directory.ts";
import { findOnnxRuntime } from "../../ffi/find_library.ts";
import { DEFAULT_VERSION, PACKAGE, PINS } from "../../src/cli/install/pins.ts";
import { LocalRegistry } from "./local_registry.ts";
import { type Outcome, outcome, runScript, startScript } from "./spawn.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const SPEC = `${PACKAGE}@${DEFAULT_VERSION}`;
const noNpm = spawnSync("npm", ["--version"]).status !== 0 && "npm is not on the PATH";
const SLOW = { timeout: 300_000 };

let packing: Promise<string> | undefined;
const packed = new TemporaryFolder();

/** The real package's tarball, as npm fetches it. */
function tarball(): Promise<string> {
  return packing ??= promisify(execFile)("npm", ["pack", SPEC, "--ignore-scripts", "--pack-destination", packed.path])
    .then(() => packed.join(`${PACKAGE}-${DEFAULT_VERSION}.tgz`));
}

/** All that lies in a folder, folders aside. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => !statSync(path.join(folder, name)).isDirectory());
}

describe("coload install", () => {
  let folder: TemporaryFolder;

  beforeEach(() => void (folder = new TemporaryFolder()));
  afterEach(() => folder[Symbol.dispose]());
  after(() => packed[Symbol.dispose]());

  function start(args: string[], env: Record<string, string> = {}): ChildProcess {
    const all = ["install", "--dir", folder.join("cache"), ...args];
    return startScript(MAIN, all, { env: { ...process.env as Record<string, string>, ...env } });
  }

  function install(args: string[] = [], env?: Record<string, string>): Promise<Outcome> {
    return outcome(start(args, env));
  }

  function installed(): string | undefined {
    return findOnnxRuntime({ cacheDir: folder.join("cache") }).found?.path;
  }

  it("pins what this repository itself depends on", () => {
    const lock = readFileSync(new URL("../../deno.lock", import.meta.url), "utf8");
    assert.equal(JSON.parse(lock).npm[SPEC].integrity, `sha512-${PINS[DEFAULT_VERSION]}`);
  });

  it("fetches the library into the user's cache, once", { skip: noNpm, ...SLOW }, async () => {
    const DENO_DIR = process.env.DENO_DIR ?? path.join(userCacheDirectory()!, "deno"); // Deno keeps its own all the same
    const env = { ...process.env as Record<string, string>, XDG_CACHE_HOME: folder.path, DENO_DIR };
    const { code, stdout, stderr } = await runScript(MAIN, ["install"], { env });
    assert.equal(code, 0, stderr);
    const library = findOnnxRuntime({ cacheDir: folder.join("coload") }).found!.path;
    assert.equal(stdout, `Installed onnxruntime ${DEFAULT_VERSION}: ${library}\n`);
    assert.ok(statSync(library).size > 10e6);
    assert.equal(statSync(folder.join("coload/onnxruntime")).mode & 0o777, 0o700);
    await using registry = await LocalRegistry.start((response) => response.writeHead(500).end());
    const again = await runScript(MAIN, ["install"], { env: { ...env, ...registry.env } });
    assert.equal(again.stdout, `onnxruntime ${DEFAULT_VERSION} is installed: ${library}\n`);
    assert.deepEqual(registry.requests, []);
  });

  it("puts it where it is told, and says how to use that", { skip: noNpm, ...SLOW }, async () => {
    const file = await tarball();
    await using registry = await LocalRegistry.start((response) => response.end(readFileSync(file)));
    const { code, stdout, stderr } = await install([], registry.env);
    assert.equal(code, 0, stderr);
    assert.ok(stdout.includes(`COLOAD_ONNXRUNTIME=${installed()}`), stdout);
    assert.deepEqual(registry.requests, [`/${PACKAGE}/-/${PACKAGE}-${DEFAULT_VERSION}.tgz`]);
  });

  it("runs several times at once", { skip: noNpm, ...SLOW }, async () => {
    const file = await tarball();
    await using registry = await LocalRegistry.start((response) => response.end(readFileSync(file)));
    const both = await Promise.all([install([], registry.env), install([], registry.env)]);
    assert.deepEqual(both.map(({ code }) => code), [0, 0], both.map(({ stderr }) => stderr).join("\n"));
    assert.equal(registry.requests.length, 2);
    assert.deepEqual(filesIn(folder.join("cache")).map((name) => folder.join("cache", name)), [installed()]);
  });

  it("fetches again by force", { skip: noNpm, ...SLOW }, async () => {
    const file = await tarball();
    await using registry = await LocalRegistry.start((response) => response.end(readFileSync(file)));
    const name = `onnxruntime/${DEFAULT_VERSION}/${process.platform}-${process.arch}/libonnxruntime.so.1`;
    mkdirSync(path.dirname(folder.join("cache", name)), { recursive: true });
    writeFileSync(folder.join("cache", name), "damaged");
    assert.equal((await install([], registry.env)).code, 0);
    assert.equal(readFileSync(installed()!, "utf8"), "damaged");
    assert.equal((await install(["--force"], registry.env)).code, 0);
    assert.ok(statSync(installed()!).size > 10e6);
  });

  for (
    const [what, answer] of Object.entries(
      {
        "is not what was pinned": (response) => response.end("not the package"),
        "ends early": (response) => {
          response.writeHead(200, { "content-length": 9 }).write("short", () => response.destroy());
        },
        "is not there": (response) => response.writeHead(404).end(),
      } satisfies Record<string, Parameters<typeof LocalRegistry.start>[0]>,
    )
  ) {
    it(`leaves nothing when the package ${what}`, async () => {
      await using registry = await LocalRegistry.start(answer);
      const { code, stderr } = await install([], registry.env);
      assert.equal(code, 1);
      assert.match(stderr, /^coload: Cannot install onnxruntime [\d.]+: (the digest of|fetching) 127\.0\.0\.1:.*\n$/);
      assert.ok(!existsSync(folder.join("cache")), "something was left");
    });
  }

  for (const [signal, expected] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    it(`leaves nothing when ${signal} comes halfway`, async () => {
      const halfway = Promise.withResolvers<void>();
      await using registry = await LocalRegistry.start((response) => {
        response.writeHead(200, { "content-length": 1e6 }).write(new Uint8Array(5e5), () => halfway.resolve());
      });
      const child = start([], registry.env);
      const end = outcome(child);
      await halfway.promise;
      assert.ok(existsSync(folder.join("cache")));
      process.kill(child.pid!, signal); // after child.kill(), Deno reports the signal in place of the exit code
      const { code, stderr } = await end;
      assert.equal(code, expected, stderr);
      assert.ok(!existsSync(folder.join("cache")), "something was left");
    });
  }

  it("spares what others have in the cache when it fails", async () => {
    const other = folder.write("cache/other/file");
    await using registry = await LocalRegistry.start((response) => response.end("not the package"));
    assert.equal((await install([], registry.env)).code, 1);
    assert.deepEqual(filesIn(folder.join("cache")), [path.relative(folder.join("cache"), other)]);
  });

  it("refuses a folder that others can write to", async () => {
    mkdirSync(folder.join("cache/onnxruntime"), { recursive: true });
    chmodSync(folder.join("cache/onnxruntime"), 0o777);
    const { code, stderr } = await install([], { npm_config_registry: "http://127.0.0.1:1" });
    assert.equal(code, 1);
    assert.match(stderr, /others can write to/);
  });

  it("refuses a version whose digest it does not know", async () => {
    const { code, stderr } = await install(["--version", "1.0.0"]);
    assert.equal(code, 2);
    assert.ok(stderr.includes(DEFAULT_VERSION), stderr);
  });
});
