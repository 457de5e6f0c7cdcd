import path from "node:path";
import { fileIdentity } from "../../ffi/files.ts";
import { LibraryError } from "../errors.ts";
import type { LoadSource } from "../ort/native_load.ts";
import type { NativeSessionOptions } from "../ort/session_options.ts";
import { DATA, MODEL } from "./manifest.ts";
import { withSession } from "./session.ts";

/** Weights smaller than this stay in the model: each is a mapping of its own, and thousands of those make runs slower. */
export const MIN_EXTERNAL_BYTES: number = 16 << 10;

const apart = {
  "session.optimized_model_external_initializers_file_name": DATA,
  "session.optimized_model_external_initializers_min_size_in_bytes": `${MIN_EXTERNAL_BYTES}`,
};

/** What only a preparation needs: a package for protobuf, which those do without who never prepare anything. */
async function aligning(): Promise<typeof import("./align.ts")> {
  try {
    return await import("./align.ts");
  } catch (cause) {
    const why = `@bufbuild/protobuf cannot be loaded: ${(cause as Error).message}`;
    throw new LibraryError("LIBRARY_NOT_FOUND", `Cannot prepare weights: ${why}`, { cause });
  }
}

/** Bytes of weights that a folder holds so far. */
export function writtenBytes(directory: string): number {
  const found = fileIdentity(path.join(directory, DATA));
  return "error" in found ? 0 : found.byteLength;
}

async function write(
  source: LoadSource,
  options: NativeSessionOptions,
  extra: Record<string, string>,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const all = { ...options.extra, ...apart, ...extra };
  const optimizedModelPath = path.join(directory, MODEL);
  await withSession(source, { ...options, extra: all, optimizedModelPath }, signal, () => {});
  const { alignWeights } = await aligning();
  return await alignWeights(directory, signal);
}

/**
 * Rewrites a model for this machine, its weights apart in a file that can be mapped.
 *
 * @returns the bytes of weights that a session computes with, and processes can share
 * @throws {NativeError}
 */
export function convert(
  source: LoadSource,
  options: NativeSessionOptions,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  return write(source, options, { "session.disable_prepacking": "1" }, directory, signal);
}

/**
 * Writes what {@linkcode convert} has written once more, with its weights as they are laid out for computing beside
 * them. (Two steps, for one would hold them twice in memory.)
 *
 * @returns as {@linkcode convert}
 * @throws {NativeError}
 */
export function pack(
  converted: string,
  options: NativeSessionOptions,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const source = { path: path.join(converted, MODEL) }, level = { graphOptimizationLevel: "disabled" } as const;
  const extra = { "session.save_external_prepacked_constant_initializers": "1" };
  return write(source, { ...options, ...level }, extra, directory, signal);
}
