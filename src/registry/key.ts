import { createHash } from "node:crypto";
import { rangeError, typeError } from "../errors.ts";
import { realPath } from "../../ffi/files.ts";
import { modelFile, modelIdentity, modelPath, type ModelSource } from "../ort/model_source.ts";
import type { LoadSource } from "../ort/native_load.ts";
import { isCpuOnly, type SessionOptions, sessionOptionsKey } from "../ort/session_options.ts";
import type { SlotText } from "./slot_text.ts";

/** How long and under what name a model is kept. */
export interface AcquireOptions {
  /** Milliseconds from the last release until it may go: -1 never, 0 at once. The latest given one holds. */
  ttlMs?: number;
  /** A name of the caller's own, in place of the file and its options. */
  key?: string;
  /** Gives up waiting. The load goes on for others who wait, and stops when nobody does. */
  signal?: AbortSignal;
}

/** Everything that finds a model in a registry, and what loads it when it is not there. */
export interface ModelKey extends SlotText {
  /** What to load, looked up only then, and the bytes it is expected to take. */
  source(): { readonly source: LoadSource; readonly byteLength: number };
}

/** Bytes up to which hashing is quicker done than handed over. */
const HASH_HERE = 1 << 20;

/** @throws {RangeError | TypeError} for options that are not what their types say */
export function checkAcquireOptions({ ttlMs, key }: AcquireOptions): void {
  if (ttlMs !== undefined && !(ttlMs === -1 || ttlMs >= 0)) {
    throw rangeError(
      "OUT_OF_RANGE",
      `Cannot keep a model for ${ttlMs} ms: -1 (for ever), 0 (not at all) or more wanted`,
    );
  }
  if (key !== undefined && (typeof key !== "string" || key === "")) {
    throw typeError("INVALID_ARGUMENT", `Cannot keep a model under the key ${JSON.stringify(key)}: a name wanted`);
  }
}

/** A name as a key. No path holds a NUL, so that none is mistaken for a name. */
const named = (key: string): string => `\0key:${key}`;

/** What a synchronous lookup goes by: the path as given, and the options. */
export function aliasOf(model: string | URL, options: SessionOptions & AcquireOptions = {}): string {
  if (options.key !== undefined) return named(options.key);
  const optionsKey = sessionOptionsKey(options);
  return optionsKey === "" ? modelPath(model) : `${modelPath(model)}\n${optionsKey}`;
}

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  if (bytes.length <= HASH_HERE) return createHash("sha256").update(bytes).digest("hex");
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** The key of a model in a file: one for every path to it, another once it is written to, another for other options. */
function fileKey(model: string | URL, options: SessionOptions & AcquireOptions): ModelKey {
  const path = modelPath(model), alias = aliasOf(model, options), optionsKey = sessionOptionsKey(options);
  const key = options.key === undefined ? `${modelIdentity(path).key}\n${optionsKey}` : alias;
  return {
    key,
    alias,
    accelerated: !isCpuOnly(options),
    shrinkArena: options.shrinkArena,
    enableCpuMemArena: options.enableCpuMemArena,
    get label() {
      return options.key ?? `${realPath(path) ?? path}${optionsKey && ` ${optionsKey}`}`;
    },
    source() {
      const file = modelFile(path);
      return { source: { path: file.path }, byteLength: file.byteLength };
    },
  };
}

/** The key of a model's bytes: their digest, so that equal bytes are one model. Copies them. */
async function bytesKey(model: Uint8Array, options: SessionOptions & AcquireOptions): Promise<ModelKey> {
  const bytes = new Uint8Array(model), optionsKey = sessionOptionsKey(options);
  const label = options.key ?? `sha256:${await digest(bytes)}${optionsKey && ` ${optionsKey}`}`;
  const key = options.key === undefined ? label : named(options.key);
  const source = (): ReturnType<ModelKey["source"]> => ({ source: { bytes }, byteLength: bytes.length });
  const { shrinkArena, enableCpuMemArena } = options, accelerated = !isCpuOnly(options);
  return { key, alias: key, label, accelerated, shrinkArena, enableCpuMemArena, source };
}

/** The key of whatever a caller names. @throws {TypeError | OrtError} for what is no model's name, or no file */
export function modelKey(model: ModelSource, options: SessionOptions & AcquireOptions): ModelKey | Promise<ModelKey> {
  return model instanceof Uint8Array ? bytesKey(model, options) : fileKey(model, options);
}
