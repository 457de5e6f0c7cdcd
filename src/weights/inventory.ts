import path from "node:path";
import { fileIdentity } from "../../ffi/files.ts";
import { namesIn } from "../../ffi/file_system.ts";
import { moveOrRemove, removeTree } from "../../ffi/file_tree.ts";
import { SystemFailure } from "../../ffi/system_failure.ts";
import { SystemError } from "../errors.ts";
import type { WeightsCache } from "./cache.ts";
import { sweepDrafts } from "./digests.ts";
import { difference, type Platform } from "./key.ts";
import { checkFiles, type Copy, MODEL, readCopy, usedPath } from "./manifest.ts";
import { copyOptions, withSession } from "./session.ts";
import { behaviourOf, digestOutputs } from "./trial.ts";

/** What lies in the cache under a key. */
export interface Entry {
  readonly key: string;
  readonly directory: string;
  /**
   * `usable`; `refused`: the note that a model's weights cannot be shared; `foreign`: for another machine or
   * onnxruntime; `damaged`: not as it was written.
   */
  readonly state: "usable" | "refused" | "foreign" | "damaged";
  /** Why it is not usable. */
  readonly why?: string;
  readonly copy?: Copy;
  /** Bytes on the disk. */
  readonly byteLength: number;
  /** When a session was last loaded from it, or it was made, in ms since the epoch. */
  readonly usedAt: number;
}

/** What is to be kept, in a cache that is cleaned up. */
export interface CollectOptions {
  /** How long a copy may be unused, in ms. */
  readonly maxAgeMs: number;
  /** How many bytes all copies together may take; those used last stay. */
  readonly maxBytes: number;
}

/** What is known of a file goes when nobody has asked for this long; it is then found out again. */
const FORGET_MS = 30 * 86_400_000;

/** Bytes of what lies in a folder; of what is none, or is gone, there are none. */
function sizeOf(directory: string): number {
  let sum = 0;
  for (const name of namesOf(directory)) {
    const found = fileIdentity(path.join(directory, name), "tell");
    if (!("error" in found)) sum += found.byteLength;
  }
  return sum;
}

function namesOf(directory: string): string[] {
  try {
    return namesIn(directory);
  } catch (error) {
    if (error instanceof SystemFailure) return [];
    throw error;
  }
}

function usedAt(directory: string): number {
  const [used, made] = [fileIdentity(usedPath(directory), "tell"), fileIdentity(directory, "tell")];
  return "error" in used ? "error" in made ? 0 : made.changedAt : used.changedAt;
}

function entryOf(cache: WeightsCache, key: string, here: Platform | undefined): Entry {
  const directory = cache.entry(key), is = { key, directory, byteLength: sizeOf(directory), usedAt: usedAt(directory) };
  try {
    const copy = readCopy(cache, key);
    if (copy === undefined) return { ...is, state: "damaged", why: "it was removed meanwhile" };
    const { fields, refused } = copy.manifest, apart = here && difference(fields, here);
    if (apart !== undefined) return { ...is, copy, state: "foreign", why: apart };
    return refused === undefined ? { ...is, copy, state: "usable" } : { ...is, copy, state: "refused", why: refused };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return { ...is, state: error.code === "COPY_FOREIGN" ? "foreign" : "damaged", why: error.message };
  }
}

/** All copies in a cache, those used last first. Their files are not read. */
export function inventory(cache: WeightsCache, here: Platform | undefined): Entry[] {
  return cache.keys().map((key) => entryOf(cache, key, here)).sort((a, b) => b.usedAt - a.usedAt);
}

/**
 * Makes sure that a copy is what it was when it was made: reads all of it, loads it, runs it and compares.
 *
 * @throws {SystemError} COPY_DAMAGED
 * @throws {OrtError} when it cannot be loaded
 */
export async function verifyCopy(cache: WeightsCache, copy: Copy, signal?: AbortSignal): Promise<void> {
  const { directory, manifest: { fields: { mode, options }, trials, outputs, refused } } = copy;
  await checkFiles(copy, { cache, signal, again: true });
  if (refused !== undefined) return;
  const freeDimensionOverrides = Object.fromEntries(options.dimensions), extra = Object.fromEntries(options.extra);
  const sessionOptions = copyOptions({ freeDimensionOverrides, extra, intraOpNumThreads: 1 }, mode);
  const found = await withSession({ path: path.join(directory, MODEL) }, sessionOptions, signal, async (session) => {
    return digestOutputs(await behaviourOf(session, trials, signal));
  });
  if (found === outputs) return;
  throw new SystemError(
    "COPY_DAMAGED",
    `Cannot use the prepared copy in ${directory}: it computes other numbers than it did`,
  );
}

/**
 * Removes a copy, all at once for whoever looks for it. Processes that use it keep what they have, until they end.
 *
 * @returns the bytes that it took
 */
export async function removeCopy(cache: WeightsCache, key: string, signal?: AbortSignal): Promise<number> {
  using _lock = await cache.lock(key, signal, () => {});
  const entry = cache.entry(key), work = path.join(cache.work, key);
  if ("error" in fileIdentity(entry, "tell")) return 0;
  const byteLength = sizeOf(entry);
  removeTree(work);
  moveOrRemove(entry, work);
  removeTree(work);
  return byteLength;
}

/** Removes what is damaged, old, or too much, and what dead processes have left. */
export async function collect(cache: WeightsCache, { maxAgeMs, maxBytes }: CollectOptions): Promise<Entry[]> {
  cache.sweep();
  const now = Date.now(), removed: Entry[] = [];
  let kept = 0;
  for (const entry of inventory(cache, undefined)) {
    const goes = entry.state === "damaged" || now - entry.usedAt > maxAgeMs || kept + entry.byteLength > maxBytes;
    if (goes) {
      await removeCopy(cache, entry.key);
      removed.push(entry);
    } else kept += entry.byteLength;
  }
  forgetDigests(cache, now);
  return removed;
}

function forgetDigests(cache: WeightsCache, now: number): void {
  if (!cache.exists()) return;
  sweepDrafts(cache, now);
  for (const name of namesIn(cache.digests)) {
    const memo = path.join(cache.digests, name), found = fileIdentity(memo, "tell");
    if (!("error" in found) && now - found.changedAt > FORGET_MS) removeTree(memo);
  }
}
