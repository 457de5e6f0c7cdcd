import { createHash } from "node:crypto";
import path from "node:path";
import { effectiveUser } from "../../ffi/descriptors.ts";
import { writeNewFile } from "../../ffi/file_tree.ts";
import { type FileIdentity, fileIdentity, readText } from "../../ffi/files.ts";
import { SystemError } from "../errors.ts";
import type { WeightsCache } from "./cache.ts";
import { digestOf, type DigestOptions } from "./digests.ts";
import { type KeyFields, keyOf, RECIPE } from "./key.ts";
import type { Trial } from "./trial.ts";

/** A file of a copy. */
export interface CopyFile {
  readonly name: string;
  readonly byteLength: number;
  readonly digest: string;
}

/** What a copy's folder says of it. */
export interface Manifest {
  readonly fields: KeyFields;
  /** Where the model was, and how large with its external data. */
  readonly source: { readonly name: string; readonly byteLength: number };
  /** When it was made, in ms since the epoch. */
  readonly madeAt: number;
  /** Sizes of open dimensions that the user gave, for the runs that verify it. */
  readonly dimensions: Readonly<Record<string, number>>;
  /** Why this model's weights cannot be shared in this mode; then there are no files. */
  readonly refused?: string;
  readonly files: readonly CopyFile[];
  /** Bytes of the data file that a session has in memory, after a run. */
  readonly sharedBytes: number;
  /** The runs that it was verified by, and the digest of what came out of the copy. */
  readonly trials: readonly Trial[];
  readonly outputs: string;
}

/** A copy that lies in the cache. */
export interface Copy {
  readonly key: string;
  readonly directory: string;
  readonly manifest: Manifest;
}

const NAME = "manifest.json", USED = "used";
/** What a manifest can hold at most: a model may have thousands of external files. */
const MAX_MANIFEST_BYTES = 4 << 20;
const OTHERS_WRITE = 0o022;

/** The model of a copy, and its data. */
export const MODEL = "model.onnx", DATA = "model.data";

/** A file that says when a copy was used last, by its time of change. */
export const usedPath = (directory: string): string => path.join(directory, USED);

const damaged = (directory: string, why: string, cause?: unknown): SystemError =>
  new SystemError("COPY_DAMAGED", `Cannot use the prepared copy in ${directory}: ${why}`, { cause });

const seal = (text: string): string => createHash("sha256").update(text).digest("hex");

/** Writes a copy's manifest, and the file that says when it was used. @throws {SystemFailure} */
export function writeManifest(directory: string, manifest: Manifest): void {
  const text = JSON.stringify(manifest);
  writeNewFile(path.join(directory, NAME), new TextEncoder().encode(`${seal(text)}\n${text}\n`));
  writeNewFile(usedPath(directory), new Uint8Array(0));
}

function ownFile(directory: string, name: string): FileIdentity {
  const found = fileIdentity(path.join(directory, name), "tell");
  if ("error" in found) throw damaged(directory, `${name}: ${found.message}`);
  if (found.kind !== "file") throw damaged(directory, `${name}: a file wanted, a ${found.kind} found`);
  if (found.uid !== effectiveUser() || (found.mode & OTHERS_WRITE) !== 0) {
    throw damaged(directory, `${name}: others can write to it`);
  }
  return found;
}

/** Manifests that a thread remembers. */
const MAX_KNOWN = 1024;

/** What this thread has read, by the states of the files. */
const known = new Map<string, Manifest>();

function readManifest(directory: string): Manifest {
  const { state, byteLength } = ownFile(directory, NAME), before = known.get(state);
  if (before !== undefined) return before;
  if (byteLength > MAX_MANIFEST_BYTES) throw damaged(directory, `${NAME} is too large`);
  const [sealed, text] = readText(path.join(directory, NAME), byteLength)?.split("\n") ?? [];
  if (text === undefined || seal(text) !== sealed) throw damaged(directory, `${NAME} is not as it was written`);
  let manifest: unknown;
  try {
    manifest = JSON.parse(text);
  } catch (cause) {
    throw damaged(directory, `${NAME} is not as it was written`, cause);
  }
  const recipe = (manifest as Partial<Manifest> | null)?.fields?.recipe;
  if (typeof recipe !== "number" || recipe > RECIPE) {
    throw new SystemError(
      "COPY_FOREIGN",
      `Cannot use the prepared copy in ${directory}: it was made by a newer Coload`,
    );
  }
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(state, manifest as Manifest);
  return manifest as Manifest;
}

/** The key of what a manifest says; `undefined` where it does not say all of that. */
function keyIn({ fields }: Manifest): string | undefined {
  try {
    return keyOf(fields);
  } catch {
    return undefined;
  }
}

/**
 * What the cache says of a key; `undefined` when there is nothing. Its files are not looked at.
 *
 * @throws {SystemError} COPY_DAMAGED when it is not what was written, or was written for another key; COPY_FOREIGN when
 * a newer Coload wrote it
 */
export function readCopy(cache: WeightsCache, key: string): Copy | undefined {
  const directory = cache.entry(key), found = fileIdentity(directory, "tell");
  if ("error" in found) return undefined;
  if (found.kind !== "directory") throw damaged(directory, `a folder wanted, a ${found.kind} found`);
  if (found.uid !== effectiveUser() || (found.mode & OTHERS_WRITE) !== 0) {
    throw damaged(directory, "others can write to it");
  }
  const manifest = readManifest(directory);
  if (keyIn(manifest) !== key) throw damaged(directory, "it was made for another model, machine or onnxruntime");
  return { key, directory, manifest };
}

/**
 * Makes sure that a copy's files are as they were written. They are read where they were touched since they were last
 * read, or `again` says so.
 *
 * @throws {SystemError} COPY_DAMAGED
 */
export async function checkFiles({ directory, manifest }: Copy, options: DigestOptions): Promise<void> {
  for (const { name, byteLength, digest } of manifest.files) {
    const { byteLength: found } = ownFile(directory, name);
    if (found !== byteLength) throw damaged(directory, `${name}: ${byteLength} bytes wanted, ${found} found`);
    if ((await digestOf(path.join(directory, name), options)).digest === digest) continue;
    throw damaged(directory, `what is in ${name} has changed since it was written`);
  }
}
