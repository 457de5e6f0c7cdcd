import path from "node:path";
import { makeDirectory, makeReadOnly, openToRead, removeTree, renamePath, replaceFolder } from "../../ffi/file_tree.ts";
import { fileIdentity } from "../../ffi/files.ts";
import { fileSystemSpace } from "../../ffi/file_system.ts";
import { functionPointer } from "../../ffi/libc.ts";
import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { SystemFailure } from "../../ffi/system_failure.ts";
import { NativeError, SystemError } from "../errors.ts";
import type { ProgressReport } from "../ort/load_progress.ts";
import type { LoadSource } from "../ort/native_load.ts";
import type { NativeSessionOptions } from "../ort/session_options.ts";
import { cacheError, diskFull, removedMeanwhile, type WeightsCache } from "./cache.ts";
import { convert, MIN_EXTERNAL_BYTES, pack, writtenBytes } from "./convert.ts";
import { digestOf } from "./digests.ts";
import { formatBytes } from "./format_bytes.ts";
import type { KeyFields, SharingMode } from "./key.ts";
import { type CopyFile, DATA, type Manifest, MODEL, readCopy, writeManifest } from "./manifest.ts";
import { lastingReason, Refused, refuseQuantized } from "./refusal.ts";
import { signWork } from "./maker.ts";
import { residentBytes } from "./resident_bytes.ts";
import { copyOptions, withSession } from "./session.ts";
import { checkUnchanged, type DigestedSource } from "./source.ts";
import {
  type Behaviour,
  behaviourOf,
  digestOutputs,
  findTrials,
  firstDifference,
  isTelling,
  type Trial,
} from "./trial.ts";

/** What is to be prepared, and for what. */
export interface PrepareRequest {
  readonly cache: WeightsCache;
  readonly source: LoadSource;
  /** The model's path as the user knows it. */
  readonly name: string;
  /** Its size, external data included. */
  readonly byteLength: number;
  readonly options: NativeSessionOptions;
  readonly mode: SharingMode;
  /** Sizes of open dimensions for the runs that verify it, by their names. */
  readonly dimensions?: Readonly<Record<string, number>>;
  /** Whether to make it anew though it is there. */
  readonly force?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly progress: ProgressReport;
}

/** Weights of fewer bytes are not worth a mapping and a check. */
export const MIN_SHARED_BYTES = 1 << 20;
/** Times the model: it converted, and a copy of that with its weights as they are and as they are packed. */
const ROOM_PREPACKED = 3;
/** A disk with less room than this is taken for the reason why something could not be written. */
const FULL_BELOW = 1 << 20;

/** One copy, while it is made. */
export class Making {
  readonly #request: PrepareRequest;
  readonly #fields: KeyFields;
  readonly #digested: DigestedSource;
  readonly #key: string;
  readonly #lock: OwnedDescriptor;
  readonly #work: string;
  readonly #converted: string;
  readonly #copy: string;

  /** @param lock of the key, held by the caller */
  constructor(
    request: PrepareRequest,
    { fields, digested, key, lock }: {
      readonly fields: KeyFields;
      readonly digested: DigestedSource;
      readonly key: string;
      readonly lock: OwnedDescriptor;
    },
  ) {
    this.#request = request;
    this.#fields = fields;
    this.#digested = digested;
    this.#key = key;
    this.#lock = lock;
    this.#work = path.join(request.cache.work, key);
    this.#converted = path.join(this.#work, "converted");
    this.#copy = path.join(this.#work, "copy");
  }

  /** The options of sessions that only convert and verify: one thread computes the same numbers each time. */
  get #options(): NativeSessionOptions {
    const { intraOpNumThreads: _, interOpNumThreads: __, enableProfiling: ___, ...options } = this.#request.options;
    return { ...options, intraOpNumThreads: 1 };
  }

  /** Makes the copy, or notes why there can be none; then puts it where it is found. */
  async make(): Promise<void> {
    const { cache, signal } = this.#request, clean = (): void => this.#clean();
    removeTree(this.#work);
    signal?.addEventListener("abort", clean); // at once: the process may be about to end
    try {
      for (const folder of [this.#work, this.#converted, this.#copy]) makeDirectory(folder);
      signWork(this.#work);
      this.#checkRoom();
      const { trials, plain } = await this.#reference();
      const manifest = await this.#write(trials, plain).catch((error) => this.#refusal(error));
      checkUnchanged(this.#digested);
      signal?.throwIfAborted();
      writeManifest(this.#copy, manifest);
      this.#keep(manifest);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw cache.holds(this.#lock) ? cacheError(cache.path, error) : removedMeanwhile(cache, error);
    } finally {
      signal?.removeEventListener("abort", clean);
      clean();
    }
  }

  /** What is there now may be another's, who works in a new cache. @throws {SystemError} CACHE_UNUSABLE */
  #checkOurs(): void {
    const { cache } = this.#request;
    if (!cache.holds(this.#lock)) throw removedMeanwhile(cache);
  }

  /** Puts what was made in place of what may be there. A copy that works gives way to no refusal. */
  #keep({ refused }: Manifest): void {
    const { cache, name } = this.#request, entry = cache.entry(this.#key);
    this.#checkOurs();
    if ("error" in fileIdentity(entry, "tell")) return renamePath(this.#copy, entry);
    if (refused !== undefined && isUsable(cache, this.#key)) {
      throw new NativeError(
        "NOT_SHAREABLE",
        `Cannot make another copy of ${name}: ${refused}; the one that is there stays`,
      );
    }
    replaceFolder(this.#copy, entry);
  }

  /**
   * Removes the work, unless it is another's by now. What cannot be removed yet, such as a file that is open elsewhere,
   * the next sweep removes.
   */
  #clean(): void {
    if (!this.#request.cache.holds(this.#lock)) return;
    try {
      removeTree(this.#work);
    } catch (error) {
      if (!(error instanceof SystemFailure)) throw error;
    }
  }

  #checkRoom(): void {
    const { byteLength, cache, mode } = this.#request, { freeBytes } = fileSystemSpace(this.#work);
    const needed = byteLength * (mode === "prepacked" ? ROOM_PREPACKED : 1);
    if (freeBytes >= needed) return;
    throw diskFull(cache.path, `${formatBytes(needed)} needed at least, ${formatBytes(freeBytes)} free`);
  }

  /** Says that the disk is full, if something could not be written because of that. */
  #checkWritten(error?: unknown): void {
    const { freeBytes } = fileSystemSpace(this.#work);
    if (freeBytes < FULL_BELOW) throw diskFull(this.#request.cache.path, `${formatBytes(freeBytes)} free`, error);
  }

  /** What the model does as it is. */
  async #reference(): Promise<{ trials: readonly Trial[] | string; plain: Behaviour | undefined }> {
    const { source, dimensions = {}, progress, signal } = this.#request;
    progress.phase("reference");
    return await withSession(source, this.#options, signal, async (session) => {
      const trials = await findTrials(session, dimensions, signal);
      if (typeof trials === "string") return { trials, plain: undefined };
      const plain = await behaviourOf(session, trials, signal), again = await behaviourOf(session, trials, signal);
      if (!isTelling(plain)) {
        return {
          trials: "its outputs with made-up inputs are empty or no numbers, so that no copy can be compared",
          plain: undefined,
        };
      }
      if (digestOutputs(plain) === digestOutputs(again)) return { trials, plain };
      return {
        trials: "its outputs are others at each run, so that no copy can be compared with it",
        plain: undefined,
      };
    });
  }

  async #write(trials: readonly Trial[] | string, plain: Behaviour | undefined): Promise<Manifest> {
    const { source, mode, progress, signal } = this.#request, options = this.#options;
    if (typeof trials === "string") throw new Refused(trials);
    const target = mode === "mapped" ? this.#copy : this.#converted;
    progress.phase("convert", () => writtenBytes(target));
    let sharedBytes = await convert(source, options, target, signal);
    this.#checkWritten();
    if (sharedBytes === 0) throw new Refused(`it has no weights of ${MIN_EXTERNAL_BYTES >> 10} KB or more`);
    if (mode === "mapped") refuseQuantized(path.join(this.#copy, MODEL));
    else {
      progress.phase("pack", () => writtenBytes(this.#copy));
      sharedBytes = await pack(this.#converted, options, this.#copy, signal);
      this.#checkWritten();
      this.#checkOurs();
      removeTree(this.#converted);
    }
    if (sharedBytes < MIN_SHARED_BYTES) {
      throw new Refused(`only ${formatBytes(sharedBytes)} of its weights can be shared, and that pays from 1 MB on`);
    }
    progress.phase("verify");
    return await this.#verified(trials, plain!, sharedBytes);
  }

  /** Loads the copy, runs it, compares it with the model, and digests it. */
  async #verified(trials: readonly Trial[], plain: Behaviour, sharedBytes: number): Promise<Manifest> {
    const { cache, mode, signal, progress } = this.#request;
    const model = path.join(this.#copy, MODEL), data = path.join(this.#copy, DATA);
    const behaviour = await withSession({ path: model }, copyOptions(this.#options, mode), signal, async (session) => {
      const found = await behaviourOf(session, trials, signal);
      if (residentBytes(data) === 0) throw new Refused("onnxruntime reads a copy into memory instead of mapping it");
      return found;
    });
    const differs = await firstDifference(plain, behaviour, mode === "prepacked");
    if (differs !== undefined) throw new Refused(`a copy would not be the same model: ${differs}`);
    let read = 0;
    progress.phase("verify", () => read);
    const files: CopyFile[] = [];
    for (const file of [MODEL, DATA]) {
      const full = path.join(this.#copy, file), onBytes = (count: number): void => void (read += count);
      await toDisk(full);
      makeReadOnly(full);
      const { digest, byteLength } = await digestOf(full, { cache, signal, onBytes });
      files.push({ name: file, byteLength, digest });
    }
    return {
      ...this.#origin(),
      files,
      sharedBytes,
      trials,
      outputs: digestOutputs(behaviour),
    };
  }

  /** What a manifest says of every model, whatever became of it. */
  #origin(): Pick<Manifest, "fields" | "source" | "madeAt" | "dimensions"> {
    const { source, name, byteLength, dimensions = {} } = this.#request;
    const shown = { name: "path" in source ? name : "bytes", byteLength };
    return { fields: this.#fields, source: shown, madeAt: Date.now(), dimensions };
  }

  /** What is kept of a model whose weights cannot be shared. @throws what may be otherwise the next time */
  #refusal(error: unknown): Manifest {
    this.#request.signal?.throwIfAborted();
    const refused = lastingReason(error);
    if (refused === undefined) {
      this.#checkWritten(error);
      throw error;
    }
    this.#checkOurs();
    removeTree(this.#copy);
    makeDirectory(this.#copy);
    return {
      ...this.#origin(),
      refused,
      files: [],
      sharedBytes: 0,
      trials: [],
      outputs: "",
    };
  }
}

function isUsable(cache: WeightsCache, key: string): boolean {
  try {
    const copy = readCopy(cache, key);
    return copy !== undefined && copy.manifest.refused === undefined;
  } catch (error) {
    if (error instanceof SystemError) return false;
    throw error;
  }
}

/** Waits until what was written to a file is on the disk. @throws {SystemError} */
async function toDisk(file: string): Promise<void> {
  using open = new OwnedDescriptor(openToRead(file));
  const failed = await callNative("load", functionPointer("fsync"), [BigInt(open.fd)]);
  if (BigInt.asIntN(32, failed) !== 0n) throw new SystemError("SYSTEM", `Cannot write ${file} to the disk`);
}
