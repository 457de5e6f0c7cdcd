import assert from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import process from "node:process";
import { afterEach, beforeEach, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { findOnnxRuntime, LIBRARY_VARIABLES } from "../../ffi/find_library.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";

const LIBRARY = process.platform === "darwin" ? "libonnxruntime.1.dylib" : "libonnxruntime.so.1";
const MACHINE = `${process.platform}-${process.arch}`;

describe("findOnnxRuntime", () => {
  let folder: TemporaryFolder;
  const before = LIBRARY_VARIABLES.map((name) => [name, process.env[name]] as const);

  beforeEach(() => {
    folder = new TemporaryFolder();
    for (const name of LIBRARY_VARIABLES) delete process.env[name];
  });

  afterEach(() => {
    folder[Symbol.dispose]();
    for (const [name, value] of before) value === undefined ? delete process.env[name] : process.env[name] = value;
  });

  it("takes the option before all else", () => {
    const library = folder.write("mine.so");
    process.env.COLOAD_ONNXRUNTIME = folder.write("other.so");
    assert.deepEqual(findOnnxRuntime({ library }), { found: { path: library, how: "option library" }, tried: [] });
  });

  it("finds the library in a folder that is given", () => {
    const path = folder.write(LIBRARY);
    assert.equal(findOnnxRuntime({ library: folder.path }).found?.path, path);
    assert.equal(findOnnxRuntime({ library: pathToFileURL(path).href }).found?.path, path);
  });

  it("looks nowhere else when what is given is not there", () => {
    const library = folder.join("absent.so");
    process.env.COLOAD_ONNXRUNTIME = folder.write("other.so");
    const given = { how: "option library", path: library, reason: "no such file or folder" };
    assert.deepEqual(findOnnxRuntime({ library }), { tried: [given], given });
  });

  it("says that a given folder holds none", () => {
    folder.write("libonnxruntime_providers_shared.so");
    const { found, tried } = findOnnxRuntime({ library: folder.path });
    assert.equal(found, undefined);
    assert.equal(tried[0]!.reason, "holds no onnxruntime library");
  });

  it("takes Coload's variable before the one that others read", () => {
    process.env.ORT_DYLIB_PATH = folder.write("theirs.so");
    assert.equal(findOnnxRuntime().found?.how, "environment variable ORT_DYLIB_PATH");
    process.env.COLOAD_ONNXRUNTIME = folder.write("ours.so");
    assert.deepEqual(findOnnxRuntime().found, {
      path: folder.join("ours.so"),
      how: "environment variable COLOAD_ONNXRUNTIME",
    });
  });

  it("looks nowhere else when a variable names what is not there", () => {
    process.env.COLOAD_ONNXRUNTIME = folder.join("absent.so");
    process.env.ORT_DYLIB_PATH = folder.write("theirs.so");
    const { found, tried } = findOnnxRuntime();
    assert.equal(found, undefined);
    assert.deepEqual(tried.map(({ how }) => how), ["option library", "environment variable COLOAD_ONNXRUNTIME"]);
  });

  it("ignores a variable that is empty", () => {
    process.env.COLOAD_ONNXRUNTIME = "";
    const cacheDir = folder.path, path = folder.write(`onnxruntime/1.30.0/${MACHINE}/${LIBRARY}`);
    assert.equal(findOnnxRuntime({ cacheDir }).found?.path, path);
  });

  it("takes the newest that was installed", () => {
    folder.write(`onnxruntime/1.9.0/${MACHINE}/${LIBRARY}`);
    folder.write(`onnxruntime/.partial-x/${MACHINE}/${LIBRARY}`);
    const path = folder.write(`onnxruntime/1.30.0/${MACHINE}/${LIBRARY}`);
    assert.deepEqual(findOnnxRuntime({ cacheDir: folder.path }).found, { path, how: "coload install" });
  });

  it("passes over what is not a file", () => {
    mkdirSync(folder.join("onnxruntime/1.30.0", MACHINE), { recursive: true });
    symlinkSync(folder.join("gone"), folder.join("onnxruntime/1.30.0", MACHINE, LIBRARY));
    const path = folder.write(`onnxruntime/1.29.0/${MACHINE}/${LIBRARY}`);
    const { found, tried } = findOnnxRuntime({ cacheDir: folder.path });
    assert.equal(found?.path, path);
    assert.deepEqual(tried.at(-1), {
      how: "coload install",
      path: folder.join("onnxruntime/1.30.0", MACHINE),
      reason: "holds no onnxruntime library",
    });
  });
});
