import { dirname, resolve } from "node:path";
import { fileIdentity } from "../../ffi/files.ts";
import { SystemError } from "../errors.ts";
import { externalLocations } from "../ort/model_scan.ts";
import type { LoadSource } from "../ort/native_load.ts";
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

/** The model's file and those beside it, the first by an empty name. */
function filesOf(path: string): (readonly [location: string, file: string])[] {
  const found = fileIdentity(path), locations = "error" in found ? [] : externalLocations(path, found.byteLength);
  return [["", path], ...locations.map((name) => [name, resolve(dirname(path), name)] as const)];
}

/** Reads and hashes whatever is not known of a model. @throws {SystemError} */
export async function digestSource(source: LoadSource, options: DigestOptions): Promise<DigestedSource> {
  if ("bytes" in source) {
    return { content: { model: await digestOfBytes(source.bytes), external: [] }, states: new Map() };
  }
  const states = new Map<string, string>(), digests: [string, string][] = [];
  for (const [location, file] of filesOf(source.path)) {
    const { digest, state } = await digestOf(file, options);
    states.set(file, state);
    digests.push([location, digest]);
  }
  const [[, model], ...external] = digests as [[string, string], ...[string, string][]];
  return { content: { model, external: external.sort(([a], [b]) => a < b ? -1 : 1) }, states };
}

/** Whether a model's content is known without reading more of it than its structure. */
export function isDigested(source: LoadSource, { cache }: Pick<DigestOptions, "cache">): boolean {
  if ("bytes" in source) return false;
  return filesOf(source.path).every(([, file]) => {
    const found = fileIdentity(file);
    return !("error" in found) && knownDigest(cache, found.state) !== undefined;
  });
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
