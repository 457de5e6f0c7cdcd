import { functionPointer } from "../../ffi/libc.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { leaveBeforeDestructors } from "../../ffi/process/pool.ts";
import { Handle } from "../handle.ts";
import { isStarted, ort, startOrt } from "../ort/environment.ts";
import { modelFile, modelPath, type ModelSource } from "../ort/model_source.ts";
import { NativeLoad } from "../ort/native_load.ts";
import { arenaStatistics } from "../ort/session_memory.ts";
import { checkSessionOptions, type LoadProgress, type SessionOptions } from "../ort/session_options.ts";

/** Models from this size on are trimmed after; for smaller ones it would cost more than it gives back. */
const TRIM_FROM = 1 << 20;
/** How often a long load says that it goes on. */
const PROGRESS_MS = 100;

/** What a session's weights take, and how that is known. */
export interface WeightMemory {
  /** The bytes that they take. */
  readonly bytes: number;
  /** `measured` by onnxruntime's arena, `declared` by a loader, or `estimated` by the file's size. */
  readonly source: "measured" | "declared" | "estimated";
}

/** A native session that was just created. */
export interface NativeSession {
  readonly pointer: Pointer;
  readonly weights: WeightMemory;
}

/** One that the caller owns. */
export interface OwnSession extends NativeSession {
  readonly handle: Handle;
}

let handlerIsLast = false;
let releasing = 0;
let trimming: Promise<unknown> | undefined;

/** Reports a load's phases, and that it goes on. */
export class ProgressReport implements Disposable {
  readonly #report: SessionOptions["onProgress"];
  readonly #start = performance.now();
  #timer: ReturnType<typeof setInterval> | undefined;
  #phase: LoadProgress["phase"] = "find";
  /** Bytes of the model, once known. */
  totalBytes = 0;

  constructor(report: SessionOptions["onProgress"]) {
    this.#report = report;
    if (report) this.#timer = setInterval(() => this.#tell(), PROGRESS_MS);
  }

  phase(phase: LoadProgress["phase"]): void {
    this.#phase = phase;
    this.#tell();
  }

  #tell(): void {
    const elapsedMs = performance.now() - this.#start;
    try {
      this.#report?.({ phase: this.#phase, totalBytes: this.totalBytes, elapsedMs });
    } catch (error) { // is its own, as in a listener of an event: the load goes on
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Creates the session of a prepared load, which stays the load's until the caller has it disowned, and releases that. */
export async function finishLoad(load: NativeLoad, totalBytes: number): Promise<NativeSession> {
  const pointer = await load.run();
  if (!handlerIsLast) leaveBeforeDestructors(); // the first session makes onnxruntime's last statics
  handlerIsLast = true;
  if (totalBytes >= TRIM_FROM) await trim(); // reading a model leaves as much behind as it read
  return { pointer, weights: weightsOf(pointer, totalBytes) };
}

/**
 * What a session that has not run yet holds: its weights, as its arena tells. Weights that a model writes as Constant
 * nodes lie outside the arena; then the model's size is the better figure.
 */
function weightsOf(pointer: Pointer, totalBytes: number): WeightMemory {
  const inUse = arenaStatistics(pointer)?.inUse ?? 0;
  return inUse < totalBytes / 2 ? { bytes: totalBytes, source: "estimated" } : { bytes: inUse, source: "measured" };
}

/** Creates the session of a prepared load, and has it owned by a handle at every moment. */
async function finishOwnLoad(load: NativeLoad, totalBytes: number): Promise<OwnSession> {
  try {
    const { pointer, weights } = await finishLoad(load, totalBytes);
    const release = ffi.pointer(ort().address("ReleaseSession"))!;
    load.disown();
    return { pointer, weights, handle: new Handle("session", pointer, { release, last: true }) };
  } finally {
    load.release();
  }
}

/** Rejects as soon as the signal aborts; the load is asked to stop, and what it still makes is released. */
async function orAborted(load: NativeLoad, session: Promise<OwnSession>, signal: AbortSignal): Promise<OwnSession> {
  const { promise, resolve, reject } = Promise.withResolvers<OwnSession>();
  const abort = (): void => {
    load.cancel();
    reject(signal.reason);
  };
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort(); // by onProgress
  session.then((made) => signal.aborted ? releaseNativeSession(made.handle.take()!) : resolve(made), reject)
    .finally(() => signal.removeEventListener("abort", abort));
  return await promise;
}

/** Rejects as soon as the signal aborts; the work goes on without its caller. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await work;
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort(); // by onProgress
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Creates a native session for this thread alone. */
export async function createNativeSession(model: ModelSource, options: SessionOptions): Promise<OwnSession> {
  checkSessionOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  using progress = new ProgressReport(options.onProgress);
  progress.phase("find");
  let source = model instanceof Uint8Array ? { bytes: model } : modelFile(modelPath(model));
  if (!isStarted()) {
    if ("bytes" in source) source = { bytes: source.bytes.slice() }; // which the caller may change meanwhile
    await unlessAborted(startOrt(), signal);
  }
  progress.totalBytes = "bytes" in source ? source.bytes.length : source.byteLength;
  if ("bytes" in source) progress.phase("read");
  const load = NativeLoad.prepare(source, options);
  load.noteInLedger();
  progress.phase("create");
  const session = finishOwnLoad(load, progress.totalBytes);
  const made = signal ? await orAborted(load, session, signal) : await session;
  progress.phase("ready");
  return made;
}

/** Gives memory that C has freed back to the system, off the event loop; once for all who ask meanwhile. */
function trim(): Promise<unknown> {
  return trimming ??= callNative("release", functionPointer("malloc_trim"), [0n]).finally(() => trimming = undefined);
}

/** Releases a native session off the event loop, and gives what it held back to the system. */
export async function releaseNativeSession(pointer: Pointer): Promise<void> {
  releasing++;
  await callNative("release", ort().address("ReleaseSession"), [ffi.address(pointer)]);
  if (--releasing > 0) return; // the last of many trims for all
  await trimming; // one that began before has not seen this session's memory
  await trim();
}
