import { cstring } from "../../ffi/cstring.ts";
import { libc } from "../../ffi/libc.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import type { OrtApi } from "../../ffi/onnxruntime.ts";
import { ensureThreads, leaveBeforeDestructors } from "../../ffi/process/pool.ts";
import { LibraryError } from "../errors.ts";
import { configuration } from "./configuration.ts";
import { type OnnxRuntimeLibrary, openOnnxRuntime, openOnnxRuntimeAgain } from "./library.ts";
import { pointerIn, scratch } from "./scratch.ts";

/** onnxruntime, ready for use by this thread. */
export interface Ort extends OnnxRuntimeLibrary {
  /** The process's one environment, whose thread pool all sessions share. */
  readonly env: Pointer;
  /** The default CPU allocator. */
  readonly allocator: Pointer;
  /** Describes plain CPU memory. */
  readonly cpuMemory: Pointer;
  /** The execution providers that the library was built with, as it names them. */
  readonly providers: readonly string[];
}

/** Threads that load models; a long load keeps no run waiting. */
const LOAD_THREADS = 4;
const ORT_LOGGING_LEVEL_FATAL = 4, ORT_DEVICE_ALLOCATOR = 0, ORT_MEM_TYPE_DEFAULT = 0;

let started: Ort | undefined;
let starting: Promise<Ort> | undefined;

/** Telemetry would write a device id and a database into the user's cache; it reads the C environment, once. */
function refuseTelemetry(): void {
  libc().setenv(cstring("ORT_DISABLE_TELEMETRY"), cstring("1"), 1);
}

function must(api: OrtApi, status: Pointer | null): void {
  if (status === null) return;
  const message = ffi.string(api.GetErrorMessage(status)!);
  api.ReleaseStatus(status);
  throw new LibraryError("LIBRARY_INVALID", `Cannot start onnxruntime: ${message}`);
}

/** Every thread's environment is the same one: onnxruntime counts how often it was asked for. */
function createEnv(api: OrtApi): Pointer {
  const { a } = scratch(), { threads, allowSpinning } = configuration();
  must(api, api.CreateThreadingOptions(a));
  const options = pointerIn()!;
  must(api, api.SetGlobalIntraOpNumThreads(options, threads));
  must(api, api.SetGlobalInterOpNumThreads(options, 1));
  must(api, api.SetGlobalSpinControl(options, allowSpinning ? 1 : 0));
  must(api, api.CreateEnvWithGlobalThreadPools(ORT_LOGGING_LEVEL_FATAL, cstring("coload"), options, a));
  const env = pointerIn()!;
  api.ReleaseThreadingOptions(options);
  return env;
}

function availableProviders(api: OrtApi): string[] {
  const { a, b, i32 } = scratch();
  must(api, api.GetAvailableProviders(a, b));
  const list = pointerIn()!, length = i32[2]!;
  const names = Array.from(new BigUint64Array(ffi.view(list, length * 8)), (p) => ffi.string(ffi.pointer(p)!));
  must(api, api.ReleaseAvailableProviders(list, length));
  return names;
}

async function start(): Promise<Ort> {
  ensureThreads("load", LOAD_THREADS);
  ensureThreads("release", 1);
  ensureThreads("map", 1);
  refuseTelemetry();
  return setUp(await openOnnxRuntime());
}

function setUp(library: OnnxRuntimeLibrary): Ort {
  if (started !== undefined) return started;
  const { api } = library, { a } = scratch();
  const env = createEnv(api);
  must(api, api.GetAllocatorWithDefaultOptions(a));
  const allocator = pointerIn()!;
  must(api, api.CreateCpuMemoryInfo(ORT_DEVICE_ALLOCATOR, ORT_MEM_TYPE_DEFAULT, a));
  const cpuMemory = pointerIn()!;
  ensureThreads("run", configuration().maxConcurrentRuns);
  leaveBeforeDestructors();
  return started = { ...library, env, allocator, cpuMemory, providers: availableProviders(api) };
}

/** Starts onnxruntime for this thread, once. A start that failed is tried again by the next call. */
export function startOrt(): Promise<Ort> {
  return starting ??= start().catch((error) => {
    starting = undefined;
    throw error;
  });
}

/** Starts onnxruntime for this thread at once, in a process where another thread has. */
export function joinOrt(): Ort {
  return started ?? setUp(openOnnxRuntimeAgain());
}

/** Whether {@linkcode startOrt} has started onnxruntime for this thread. */
export function isStarted(): boolean {
  return started !== undefined;
}

/** onnxruntime, which {@linkcode startOrt} has started. */
export function ort(): Ort {
  if (started === undefined) throw new Error("onnxruntime was not started");
  return started;
}
