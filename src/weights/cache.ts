import { setTimeout as delay } from "node:timers/promises";
import path from "node:path";
import { cacheDirectory } from "../../ffi/cache_directory.ts";
import { effectiveUser } from "../../ffi/descriptors.ts";
import { makeDirectory, openOwnFile, removeTree } from "../../ffi/file_tree.ts";
import { fileIdentity } from "../../ffi/files.ts";
import { namesIn } from "../../ffi/file_system.ts";
import { ffi } from "../../ffi/mod.ts";
import { tryLockBytes } from "../../ffi/locks.ts";
import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { reap } from "../../ffi/process/reaper.ts";
import { ERRNO, SystemFailure } from "../../ffi/system_failure.ts";
import { SystemError } from "../errors.ts";
import { configuration } from "../ort/configuration.ts";
import { idleMaker } from "./maker.ts";

/** How often a process that waits for another one's work looks again. */
const LOOK_MS = 50;
/** How long it waits for a thread that ended, in a process that may still tidy up after it. */
const PATIENCE_MS = 5000;
/** How often the lock is opened whose file is another one by then. */
const LOCK_TRIES = 100;
/** Permission bits by which others could write. */
const OTHERS_WRITE = 0o022;
const KEY = /^[0-9a-f]{64}$/;

const unusable = (path: string, why: string, cause?: unknown): SystemError =>
  new SystemError("CACHE_UNUSABLE", `Cannot keep prepared weights in ${path}: ${why}`, { cause });
const forbidden = (path: string, why: string): SystemError =>
  new SystemError("CACHE_FORBIDDEN", `Cannot trust prepared weights in ${path}: ${why}`);

/**
 * Whether a folder is there, and nobody's but this user's.
 *
 * @throws {SystemError} CACHE_FORBIDDEN, CACHE_UNUSABLE
 */
function isOwnFolder(folder: string): boolean {
  const found = fileIdentity(folder, "tell");
  if ("error" in found) {
    if (found.error === ERRNO.ENOENT) return false;
    throw unusable(folder, found.message);
  }
  if (found.kind === "symlink") {
    throw forbidden(folder, "it is a symlink; name the folder that it leads to, with configure({ cacheDir })");
  }
  if (found.kind !== "directory") throw unusable(folder, `a folder wanted, a ${found.kind} found`);
  if (found.uid !== effectiveUser()) {
    throw forbidden(folder, `it is user ${found.uid}'s, not user ${effectiveUser()}'s`);
  }
  if ((found.mode & OTHERS_WRITE) !== 0) {
    const mode = found.mode.toString(8).padStart(4, "0");
    throw forbidden(folder, `others can write to it (mode ${mode}); chmod go-w mends it`);
  }
  return true;
}

function makeAll(folder: string): void {
  if (!("error" in fileIdentity(folder))) return;
  makeAll(path.dirname(folder));
  makeDirectory(folder);
}

/**
 * Where prepared weights lie: `entries/KEY` each with a copy, whole or not there; `work/KEY` what is being made, under
 * the lock of its key; `digests` what is known of files that nobody has touched since.
 */
export class WeightsCache {
  /** Coload's cache. */
  readonly root: string;
  readonly path: string;
  readonly entries: string;
  readonly work: string;
  readonly digests: string;

  private constructor(root: string) {
    this.root = root;
    this.path = path.join(root, "weights");
    this.entries = path.join(this.path, "entries");
    this.work = path.join(this.path, "work");
    this.digests = path.join(this.path, "digests");
  }

  /** @param cacheDir Coload's cache; default: as configured, else the user's @throws {SystemError} CACHE_UNUSABLE */
  static locate(cacheDir: string | undefined = configuration().cacheDir): WeightsCache {
    if (cacheDir === undefined && !ffi.mayReadVariable("HOME")) { // nor ask for it: nobody may be there to answer
      throw unusable("the user's cache", "to find it needs --allow-env; or name one, with configure({ cacheDir })");
    }
    const root = cacheDirectory(cacheDir);
    if (root === undefined) {
      throw unusable("the user's cache", "the environment has no HOME; configure({ cacheDir }) or --dir names one");
    }
    return new WeightsCache(root);
  }

  /** Whether there is one, nobody's but this user's. @throws {SystemError} CACHE_FORBIDDEN, CACHE_UNUSABLE */
  exists(): boolean {
    return [this.root, this.path, this.entries, this.digests].every(isOwnFolder);
  }

  /** Makes it where it is not there. @throws {SystemError} CACHE_FORBIDDEN, CACHE_UNUSABLE, DISK_FULL */
  make(): void {
    try {
      if (!isOwnFolder(this.root)) makeAll(this.root);
      for (const folder of [this.path, this.entries, this.work, this.digests]) {
        if (!isOwnFolder(folder)) makeDirectory(folder);
      }
    } catch (error) {
      throw cacheError(this.path, error);
    }
    this.exists();
  }

  /** Where the copy of a key lies. */
  entry(key: string): string {
    return path.join(this.entries, key);
  }

  /** The keys of all copies. */
  keys(): string[] {
    return this.exists() ? namesIn(this.entries).filter((name) => KEY.test(name)) : [];
  }

  get #lockFile(): string {
    return path.join(this.path, "lock");
  }

  /** The lock of a key, held until it is disposed of or this thread ends; `undefined` when another has it. */
  tryLock(key: string): OwnedDescriptor | undefined {
    for (let tries = 0; tries < LOCK_TRIES; tries++) {
      const lock = new OwnedDescriptor(openOwnFile(this.#lockFile));
      let isOurs = false;
      try {
        if (!tryLockBytes(lock.fd, Number.parseInt(key.slice(0, 7), 16))) return undefined; // one byte of 2^28 for each key
        isOurs = this.holds(lock); // else the cache was removed since it was opened, and another may have the new lock
        if (isOurs) return lock;
      } finally {
        if (!isOurs) lock[Symbol.dispose]();
      }
    }
    throw unusable(this.path, "its lock is another file each time");
  }

  /** Whether a lock is still the cache's: somebody may remove all of it, and others then work in a new one. */
  holds(lock: OwnedDescriptor): boolean {
    const ours = fileIdentity(`/proc/self/fd/${lock.fd}`), there = fileIdentity(this.#lockFile);
    return "error" in ours || (!("error" in there) && ours.key === there.key); // without /proc it cannot be told
  }

  /**
   * Waits for the lock of a key.
   *
   * @throws {SystemError} CACHE_BUSY when nobody works any more, and the lock is not let go
   * @throws the signal's reason, when it aborts
   */
  async lock(key: string, signal: AbortSignal | undefined, onWait: () => void): Promise<OwnedDescriptor> {
    let lock = this.tryLock(key);
    if (lock === undefined) onWait();
    let endedAt: number | undefined;
    for (; lock === undefined; lock = this.tryLock(key)) {
      await reap(); // threads of this process that ended: their descriptors hold locks until then
      const maker = idleMaker(path.join(this.work, key));
      endedAt = maker === undefined ? undefined : endedAt ?? Date.now();
      if (endedAt !== undefined && Date.now() - endedAt > PATIENCE_MS) {
        const why = `process ${maker} holds its lock for a thread that ended; it goes with the process`;
        throw new SystemError("CACHE_BUSY", `Cannot prepare ${path.join(this.entries, key)}: ${why}`);
      }
      await delay(LOOK_MS, undefined, signal && { signal }).catch((error) => {
        throw signal?.aborted ? signal.reason : error;
      });
    }
    return lock;
  }

  /** Removes what processes that were killed in the middle of their work have left. How many pieces of it there were. */
  sweep(): number {
    if (!this.exists() || !isOwnFolder(this.work)) return 0;
    let count = 0;
    for (const name of namesIn(this.work)) {
      using lock = this.tryLock(name);
      if (lock === undefined) continue;
      try {
        removeTree(path.join(this.work, name));
        count++;
      } catch (error) { // a file that is still open elsewhere, on some file systems: the next one removes it
        if (!(error instanceof SystemFailure)) throw error;
      }
    }
    return count;
  }
}

/** Others have removed the cache while something was made in it. */
export function removedMeanwhile({ path }: WeightsCache, cause?: unknown): SystemError {
  return unusable(path, "it was removed while something was made in it", cause);
}

/** A failed call on the cache as what a user can act on. */
export function cacheError(path: string, error: unknown): unknown {
  if (!(error instanceof SystemFailure)) return error;
  if (error.errno === ERRNO.ENOSPC || error.errno === ERRNO.EDQUOT) return diskFull(path, error.message, error);
  return unusable(path, error.message, error);
}

/** There is no room for a copy. */
export function diskFull(path: string, why: string, cause?: unknown): SystemError {
  return new SystemError("DISK_FULL", `Cannot keep prepared weights in ${path}: the disk is full: ${why}`, { cause });
}
