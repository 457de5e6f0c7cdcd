import { ffi, type Pointer } from "../../ffi/mod.ts";
import { Handle } from "../handle.ts";
import { isStarted, ort, startOrt } from "../ort/environment.ts";
import { ProgressReport } from "../ort/load_progress.ts";
import { modelFile, modelPath, type ModelSource } from "../ort/model_source.ts";
import { NativeLoad } from "../ort/native_load.ts";
import { releaseSession, trimMapLane, trimMemory } from "../ort/release_session.ts";
import { arenaStatistics } from "../ort/session_memory.ts";
import { checkSessionOptions, type SessionOptions } from "../ort/session_options.ts";
import { unlessAborted } from "../ort/unless_aborted.ts";
import {
  planAtOnce,
  planSharing,
  type Sharing,
  type SharingPlan,
  type SharingRequest,
  withoutSharing,
} from "../weights/share.ts";

/** Models from this size on are trimmed after; for smaller ones it would cost more than it gives back. */
const TRIM_FROM = 1 << 20;

/** What a session's weights take, and how that is known. */
export interface WeightMemory {
  /** The bytes that they take. */
  readonly bytes: number;
  /** How many of these lie in a file that all processes of the machine share. */
  readonly shared: number;
  /** `measured` by onnxruntime's arena, `declared` by a loader, or `estimated` by the file's size. */
  readonly source: "measured" | "declared" | "estimated";
}

/** A native session that was just created. */
export interface NativeSession {
  readonly pointer: Pointer;
  readonly weights: WeightMemory;
  readonly sharing: Sharing;
}

/** One that the caller owns. */
export interface OwnSession extends NativeSession {
  readonly handle: Handle;
}

/** A native session, and the load that made it, which has it until it is disowned. */
export interface LoadedSession extends NativeSession {
  readonly load: NativeLoad;
}

/** How a load begins, and what becomes of one that failed. */
export interface LoadSteps {
  begin(plan: SharingPlan): NativeLoad;
  abandon(load: NativeLoad): void;
}

/** Codes that say nothing about a prepared copy. */
const NOT_THE_COPY: readonly unknown[] = ["ORT_MODEL_LOAD_CANCELED", "OUT_OF_MEMORY"];

/** Creates the session that was planned. A prepared copy that cannot be loaded after all gives way to the model itself. */
export async function loadPlanned(
  request: SharingRequest,
  plan: SharingPlan,
  { begin, abandon }: LoadSteps,
): Promise<LoadedSession> {
  const load = begin(plan), { sharing } = plan, isShared = sharing.mode !== "off";
  let pointer: Pointer;
  try {
    request.progress.phase("create");
    pointer = await load.run(isShared ? "map" : "load");
  } catch (error) {
    abandon(load);
    if (!isShared || NOT_THE_COPY.includes((error as { code?: unknown }).code)) throw error;
    request.options.signal?.throwIfAborted();
    return await loadPlanned(request, withoutSharing(request, error), { begin, abandon });
  }
  if (isShared) await trimMapLane();
  if (request.byteLength >= TRIM_FROM) await trimMemory(); // reading a model leaves as much behind as it read
  return { load, pointer, sharing, weights: weightsOf(pointer, request.byteLength, plan) };
}

/**
 * What a session that has not run yet holds: its weights, as its arena tells. Weights that a model writes as Constant
 * nodes lie outside the arena; then the model's size is the better figure.
 */
function weightsOf(pointer: Pointer, totalBytes: number, { sharing, sharedBytes }: SharingPlan): WeightMemory {
  const inUse = Math.max(0, (arenaStatistics(pointer)?.inUse ?? 0) - unusedReservation(sharing, sharedBytes));
  if (sharing.mode !== "off") return { bytes: sharedBytes + inUse, shared: sharedBytes, source: "measured" };
  const source = inUse < totalBytes / 2 ? "estimated" : "measured";
  return { bytes: source === "estimated" ? totalBytes : inUse, shared: 0, source };
}

/** Bytes of a session's arena that onnxruntime sets aside for weights that are mapped, and never touches. */
export function unusedReservation({ mode }: Sharing, sharedBytes: number): number {
  return mode === "mapped" ? sharedBytes : 0;
}

/** Creates the session that was planned, and has it owned by a handle at every moment. */
async function loadOwn(
  request: SharingRequest,
  plan: SharingPlan,
  current: { load?: NativeLoad },
): Promise<OwnSession> {
  const { load, pointer, weights, sharing } = await loadPlanned(request, plan, {
    begin: ({ source, options }) => {
      const load = current.load = NativeLoad.prepare(source, options);
      load.noteInLedger();
      return load;
    },
    abandon: (load) => load.release(),
  });
  const release = ffi.pointer(ort().address("ReleaseSession"))!;
  load.disown();
  const handle = new Handle("session", pointer, { release, last: true });
  load.release();
  return { pointer, weights, sharing, handle };
}

/** Rejects as soon as the signal aborts; the load is asked to stop, and what it still makes is released. */
async function orAborted(
  current: { readonly load?: NativeLoad },
  session: Promise<OwnSession>,
  signal: AbortSignal,
): Promise<OwnSession> {
  const { promise, resolve, reject } = Promise.withResolvers<OwnSession>();
  const abort = (): void => {
    current.load?.cancel();
    reject(signal.reason);
  };
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort(); // by onProgress
  session.then((made) => signal.aborted ? releaseSession(made.handle.take()!) : resolve(made), reject)
    .finally(() => signal.removeEventListener("abort", abort));
  return await promise;
}

/** Creates a native session for this thread alone. */
export async function createNativeSession(model: ModelSource, options: SessionOptions): Promise<OwnSession> {
  checkSessionOptions(options);
  const { signal } = options;
  signal?.throwIfAborted();
  using progress = new ProgressReport(options.onProgress);
  progress.phase("find");
  let source = model instanceof Uint8Array ? { bytes: model } : modelFile(modelPath(model)), isCopied = false;
  const copyBytes = (): void => { // which the caller may change while something is awaited
    if ("bytes" in source && !isCopied) source = { bytes: new Uint8Array(source.bytes) };
    isCopied = true;
  };
  if (!isStarted()) {
    copyBytes();
    await unlessAborted(startOrt(), signal);
  }
  const byteLength = progress.totalBytes = "bytes" in source ? source.bytes.length : source.byteLength;
  let plan = planAtOnce({ source, byteLength, options, progress });
  if (plan === undefined) {
    copyBytes();
    plan = await planSharing({ source, byteLength, options, progress });
    signal?.throwIfAborted();
  }
  if ("bytes" in source) progress.phase("read");
  const current: { load?: NativeLoad } = {},
    session = loadOwn({ source, byteLength, options, progress }, plan, current);
  const made = signal ? await orAborted(current, session, signal) : await session;
  progress.phase("ready");
  return made;
}
