import { NativeError, SystemError } from "../errors.ts";
import { unlessAborted } from "../ort/unless_aborted.ts";
import { cacheError, type WeightsCache } from "./cache.ts";
import { sweepDrafts } from "./digests.ts";
import { formatBytes } from "./format_bytes.ts";
import { keyFields, keyOf, platform, whyNotShareable } from "./key.ts";
import { Making, MIN_SHARED_BYTES, type PrepareRequest } from "./making.ts";
import { checkFiles, type Copy, readCopy } from "./manifest.ts";
import { digestSource } from "./source.ts";

/** A copy, and whether it was made for this request. */
export interface Prepared {
  readonly copy: Copy;
  readonly made: boolean;
}

/** Why a model of this size, for these options, has no copy. @throws {NativeError} NOT_SHAREABLE */
function refuseEarly({ name, byteLength, options }: PrepareRequest): void {
  const small = byteLength < MIN_SHARED_BYTES && `it has ${formatBytes(byteLength)}, and sharing pays from 1 MB on`;
  const why = whyNotShareable(options) ?? (small || undefined);
  if (why !== undefined) throw new NativeError("NOT_SHAREABLE", `Cannot share the weights of ${name}: ${why}`);
}

/**
 * A copy that is whole, or the note that there can be none. One that is damaged is as none, and made anew; so is a note
 * that was made with other dimensions.
 */
async function wholeCopy(request: PrepareRequest, key: string): Promise<Copy | undefined> {
  const { cache, force, signal, dimensions = {} } = request;
  if (force === true || !cache.exists()) return undefined;
  try {
    const copy = readCopy(cache, key);
    if (copy === undefined) return undefined;
    const { refused, dimensions: before } = copy.manifest;
    if (refused !== undefined && JSON.stringify(before) !== JSON.stringify(dimensions)) return undefined;
    await checkFiles(copy, { cache, signal });
    return copy;
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

/** Makes and tidies the cache, so that digests are remembered. One that may only be read may have the copy. */
function makeIfPossible(cache: WeightsCache): void {
  try {
    cache.make();
    cache.sweep();
    sweepDrafts(cache);
  } catch (error) {
    if (!cache.exists()) throw error;
  }
}

async function prepareWhole(request: PrepareRequest): Promise<Prepared> {
  const { cache, source, options, mode, signal, progress } = request;
  makeIfPossible(cache);
  let read = 0;
  progress.phase("digest", () => read);
  const digested = await digestSource(source, { cache, signal, onBytes: (count) => read += count });
  const fields = keyFields(mode, digested.content, options, await platform({ cache, signal })), key = keyOf(fields);
  const found = await wholeCopy(request, key);
  if (found !== undefined) return { copy: found, made: false };
  cache.make();
  using lock = await cache.lock(key, signal, () => progress.phase("wait"));
  const madeMeanwhile = await wholeCopy(request, key);
  if (madeMeanwhile !== undefined) return { copy: madeMeanwhile, made: false };
  await new Making(request, { fields, digested, key, lock }).make();
  return { copy: readCopy(cache, key)!, made: true };
}

/**
 * Makes a copy of a model whose weights processes can share, unless there is one: converts, verifies and keeps it. One
 * process does, others that want the same wait for it. The event loop stays free; an abort rejects at once, and leaves
 * nothing once onnxruntime has stopped.
 *
 * @throws {NativeError} NOT_SHAREABLE; what loading the model throws
 * @throws {SystemError} CACHE_UNUSABLE, CACHE_FORBIDDEN, DISK_FULL, MODEL_CHANGED
 */
export async function prepare(request: PrepareRequest): Promise<Prepared> {
  refuseEarly(request);
  try {
    return await unlessAborted(prepareWhole(request), request.signal);
  } catch (error) {
    throw cacheError(request.cache.path, error);
  }
}
