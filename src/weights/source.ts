import { dirname, resolve } from "node:path";
import { fileIdentity, OpenFile } from "../../ffi/files.ts";
import { NativeError, SystemError } from "../errors.ts";
import { locationsIn, type Readable } from "../ort/model_scan.ts";
import type { LoadSource } from "../ort/native_load.ts";
import type { WeightsCache } from "./cache.ts";
import { digestOf, digestOfBytes, type DigestOptions, knownDigest } from "./digests.ts";

/** What is in a model, its external data included. */
export interface SourceContent {
  readonly model: string;
  /** The files beside it that hold its weights, as it names them, and what is in each. */
  readonly external: readonly (readonly [location: string, digest: string])[];
}

/** A model's content, and whether it is still that. */
export interface DigestedSource {
  readonly content: SourceContent;
  /** The states of its files, by their paths. */
  readonly states: ReadonlyMap<string, string>;
}

/** Models that a thread remembers. */
const MAX_KNOWN = 1024;

/** What this thread knows of models: the files that they name, by the models' states. */
const knownLocations = new Map<string, readonly string[]>();

const notShareable = (why: string): NativeError =>
  new NativeError("NOT_SHAREABLE", `Cannot share a model's weights: ${why}`);

/** The files that a model names. @throws {NativeError} NOT_SHAREABLE where that cannot be told for sure */
function locationsOf(file: Readable, byteLength: number): readonly string[] {
  try {
    return locationsIn(file, byteLength);
  } catch (error) {
    throw notShareable(`it cannot be told which files hold its weights: ${(error as Error).message}`);
  }
}

function openModel(path: string): OpenFile {
  try {
    return new OpenFile(path);
  } catch (cause) {
    throw new SystemError("SYSTEM", `Cannot read a model: ${(cause as Error).message}`, { cause });
  }
}

function locationsOfFile(path: string): readonly string[] {
  const found = fileIdentity(path);
  if ("error" in found) return []; // which reading it will tell
  let locations = knownLocations.get(found.state);
  if (locations === undefined) {
    using file = openModel(path);
    if (knownLocations.size >= MAX_KNOWN) knownLocations.clear();
    knownLocations.set(found.state, locations = locationsOf(file, found.byteLength));
  }
  return locations;
}

/** The model's file and those beside it, the first by an empty name. @throws {NativeError} NOT_SHAREABLE */
function filesOf(path: string): (readonly [location: string, file: string])[] {
  return [["", path], ...locationsOfFile(path).map((name) => [name, resolve(dirname(path), name)] as const)];
}

/** Reads and hashes whatever is not known of a model. @throws {NativeError} NOT_SHAREABLE @throws {SystemError} */
export async function digestSource(source: LoadSource, options: DigestOptions): Promise<DigestedSource> {
  if ("bytes" in source) {
    const { bytes } = source;
    const file: Readable = {
      read(into, byteOffset) {
        const part = bytes.subarray(byteOffset, byteOffset + into.length);
        into.set(part);
        return part.length;
      },
    };
    if (locationsOf(file, bytes.length).length > 0) {
      throw notShareable(
        "it is given as bytes, and has weights in files, which are looked for in the working directory",
      );
    }
    return { content: { model: await digestOfBytes(bytes, options.signal), external: [] }, states: new Map() };
  }
  const states = new Map<string, string>(), digests: [string, string][] = [];
  for (const [location, file] of filesOf(source.path)) {
    const { digest, state } = await digestOf(file, options);
    states.set(file, state);
    digests.push([location, digest]);
  }
  return { content: contentOf(digests), states };
}

/** What is in a model's files, where that is known without reading more of them than the model's structure. */
export function knownContent(path: string, cache: WeightsCache): SourceContent | undefined {
  const digests: [string, string][] = [];
  for (const [location, file] of filesOf(path)) {
    const found = fileIdentity(file), digest = "error" in found ? undefined : knownDigest(cache, found.state);
    if (digest === undefined) return undefined;
    digests.push([location, digest]);
  }
  return contentOf(digests);
}

/** Of the digests of a model's files, its own the first. */
function contentOf(digests: readonly [string, string][]): SourceContent {
  const [[, model], ...external] = digests as [[string, string], ...[string, string][]];
  return { model, external: external.sort(([a], [b]) => a < b ? -1 : 1) };
}

/** @throws {SystemError} MODEL_CHANGED when one of the files is not in the state any more that it was digested in */
export function checkUnchanged({ states }: DigestedSource): void {
  for (const [file, state] of states) {
    const found = fileIdentity(file);
    if (!("error" in found) && found.state === state) continue;
    const how = "error" in found ? `it is gone: ${found.message}` : "it was written to meanwhile";
    throw new SystemError("MODEL_CHANGED", `Cannot prepare ${file}: ${how}; prepare it again`);
  }
}
