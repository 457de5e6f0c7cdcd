import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { capabilities } from "../../src/ort/capabilities.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { runChild } from "../support/child.ts";

const CHILD = new URL("./children/loads.ts", import.meta.url);
const NO_COMPILER = spawnSync("gcc", ["--version"]).status !== 0 && "no C compiler";

interface Seen {
  readonly result?: readonly number[];
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
}

/** What a process sees that has these environment variables beside its own. */
async function seen(env: Record<string, string>, permissions?: readonly string[]): Promise<Seen> {
  const whole = { ...process.env, ...env } as Record<string, string>;
  const { code, stdout, stderr } = await runChild(CHILD, [], { env: whole, ...(permissions && { permissions }) });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

async function refused(library: string, code: string, message: RegExp): Promise<void> {
  const found = await seen({ COLOAD_ONNXRUNTIME: library });
  assert.deepEqual([found.name, found.code], ["LibraryError", code], found.message!);
  assert.match(found.message!, message);
}

/** Compiles a library of C. */
function compile(folder: TemporaryFolder, source: string): string {
  const [file, library] = [folder.write("library.c", source), folder.join("libonnxruntime.so")];
  const { status, stderr } = spawnSync("gcc", ["-shared", "-fPIC", "-o", library, file], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return library;
}

const tooOld = (version: string): string => `
  const void *get_api(unsigned version) { return 0; }
  const char *get_version(void) { return "${version}"; }
  struct { const void *(*get_api)(unsigned); const char *(*get_version)(void); } base = { get_api, get_version };
  void *OrtGetApiBase(void) { return &base; }
`;

describe("a library that cannot be used", () => {
  it("is another library", () => refused("/lib/x86_64-linux-gnu/libm.so.6", "LIBRARY_INVALID", /OrtGetApiBase/));

  it("is no library", async () => {
    using folder = new TemporaryFolder();
    await refused(
      folder.write("libonnxruntime.so", "just text"),
      "LIBRARY_INVALID",
      /libonnxruntime\.so.*ELF|too short/s,
    );
    await refused(folder.write("empty.so"), "LIBRARY_INVALID", /empty\.so/);
  });

  it("is not there", () => refused("/no/such/libonnxruntime.so", "LIBRARY_NOT_FOUND", /COLOAD_ONNXRUNTIME.*no such/s));

  it("is too old", { skip: NO_COMPILER }, async () => {
    using folder = new TemporaryFolder();
    await refused(compile(folder, tooOld("1.10.0")), "LIBRARY_TOO_OLD", /1\.22 or newer wanted, 1\.10\.0 found/);
  });

  it("depends on one that is missing", { skip: NO_COMPILER }, async () => {
    using folder = new TemporaryFolder();
    const library = compile(folder, "void missing(void); void *OrtGetApiBase(void) { missing(); return 0; }");
    await refused(library, "LIBRARY_INVALID", /missing/);
  });
});

describe("the library in use", () => {
  it("is told of with its providers", async () => {
    const { library, problem, providers, calls, threads } = await capabilities();
    assert.equal(problem, undefined);
    assert.match(library!.version, /^1\.\d+\.\d+/);
    assert.ok(path.isAbsolute(library!.path) && library!.how.length > 0);
    assert.ok(providers.includes("CPUExecutionProvider"));
    assert.deepEqual([calls, threads], ["fast", "native"]);
  });

  it("is told of beside the Python that there is, or why there is none", async () => {
    const { python: { found, problem } } = await capabilities();
    if (found === undefined) assert.match(problem!, /there is none that can be loaded/);
    else {assert.ok(
        path.isAbsolute(found.executable) && path.isAbsolute(found.library) && /^3\.\d+/.test(found.version),
      );}
  });

  it("writes nothing into the user's folders", async () => {
    using home = new TemporaryFolder();
    const { library } = await capabilities();
    const env = { HOME: home.path, XDG_CACHE_HOME: home.join("cache"), XDG_CONFIG_HOME: home.join("config") };
    const runtimes = { DENO_DIR: denoDir(), BUN_RUNTIME_TRANSPILER_CACHE_PATH: "0" }; // their own caches do not count
    const { result } = await seen({ ...env, ...runtimes, COLOAD_ONNXRUNTIME: library!.path });
    assert.deepEqual(result, [2, 4]);
    const written = readdirSync(home.path, { recursive: true }).map(String);
    assert.deepEqual(written.filter((name) => !/^cache(\/coload(\/.*)?)?$/.test(name)), []);
  });
});

/** Where Deno keeps what it has compiled. */
function denoDir(): string {
  return process.env.DENO_DIR ?? path.join(process.env.HOME ?? fileURLToPath("file:///root"), ".cache/deno");
}

describe("a process without executable memory", () => {
  it("runs all the same", async () => {
    assert.deepEqual((await seen({ COLOAD_NO_EXECUTABLE_MEMORY: "1" })).result, [2, 4]);
  });
});
