import { fileURLToPath } from "node:url";
import { fileIdentity, realPath } from "../../ffi/files.ts";
import { OrtError, SystemError, typeError } from "../errors.ts";
import { externalData } from "./external_data.ts";

/** A model as a caller names it: a path, a `file:` URL, or its bytes. */
export type ModelSource = string | URL | Uint8Array;

/** A model's file, looked up. */
export interface ModelFile {
  /** Absolute, without symlinks: what external data is relative to. */
  readonly path: string;
  /** External data included. */
  readonly byteLength: number;
  /** The same for every path to one unchanged file, and its external data. */
  readonly key: string;
}

const ENOENT = 2, ENOTDIR = 20;

/** The path that a string or `file:` URL names. @throws {TypeError} INVALID_ARGUMENT for anything else */
export function modelPath(model: string | URL): string {
  if (typeof model === "string" && model !== "" && !model.includes("\0")) return model;
  if (model instanceof URL && model.protocol === "file:") return fileURLToPath(model);
  const found = model instanceof URL ? model.href : JSON.stringify(model) ?? String(model);
  throw typeError("INVALID_ARGUMENT", `Cannot load a model from ${found}: a path, a file: URL or a Uint8Array wanted`);
}

/** Which state of which files a path names, external data included, for a model that may be loaded already. */
export function modelIdentity(path: string): { readonly key: string; readonly byteLength: number } {
  const found = fileIdentity(path);
  if ("error" in found) {
    const message = `Cannot load model ${path}: ${found.message}`;
    if (found.error === ENOENT || found.error === ENOTDIR) throw new OrtError("MODEL_NOT_FOUND", message);
    throw new SystemError("SYSTEM", message);
  }
  if (found.kind !== "file") {
    throw new OrtError("MODEL_NOT_FOUND", `Cannot load model ${path}: a file wanted, a ${found.kind} found`);
  }
  const beside = externalData(path, found);
  return { key: found.key + beside.key, byteLength: found.byteLength + beside.byteLength };
}

/** Looks a model's file up. @throws {NativeError} MODEL_NOT_FOUND, MODEL_INVALID when it is empty, or SYSTEM */
export function modelFile(path: string): ModelFile {
  const { key, byteLength } = modelIdentity(path);
  if (byteLength === 0) throw new OrtError("MODEL_INVALID", `Cannot load model ${path}: the file is empty`);
  return { path: realPath(path) ?? path, byteLength, key };
}
