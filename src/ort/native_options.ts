import { cstring } from "../../ffi/cstring.ts";
import type { Pointer } from "../../ffi/mod.ts";
import { NativeError } from "../errors.ts";
import { ort } from "./environment.ts";
import { CStrings, pointerIn, scratch } from "./scratch.ts";
import { type NativeSessionOptions, ownThreadPool } from "./session_options.ts";
import { check } from "./status.ts";

const ORT_PARALLEL = 1;
const LEVEL = { disabled: 0, basic: 1, extended: 2, all: 99 } as const;
const LOG_FATAL = 4; // errors are thrown; they need not be printed as well

/** What onnxruntime calls the providers that users know by a short name. */
const LONG_NAMES: Readonly<Record<string, string>> = {
  cpu: "CPUExecutionProvider",
  cuda: "CUDAExecutionProvider",
  tensorrt: "TensorrtExecutionProvider",
  webgpu: "WebGpuExecutionProvider",
  coreml: "CoreMLExecutionProvider",
  dml: "DmlExecutionProvider",
  openvino: "OpenVINOExecutionProvider",
  qnn: "QNNExecutionProvider",
  rocm: "ROCMExecutionProvider",
  xnnpack: "XnnpackExecutionProvider",
};

/** What `SessionOptionsAppendExecutionProvider` calls them. */
const GENERIC_NAMES: Readonly<Record<string, string>> = {
  CoreMLExecutionProvider: "CoreML",
  DmlExecutionProvider: "DML",
  OpenVINOExecutionProvider: "OpenVINO",
  QNNExecutionProvider: "QNN",
  WebGpuExecutionProvider: "WebGPU",
  XnnpackExecutionProvider: "XNNPACK",
};

/** How a provider that has option objects of its own makes, fills, appends and releases one. */
interface OwnOptions {
  readonly create: "CreateCUDAProviderOptions" | "CreateTensorRTProviderOptions";
  readonly update: "UpdateCUDAProviderOptions" | "UpdateTensorRTProviderOptions";
  readonly append:
    | "SessionOptionsAppendExecutionProvider_CUDA_V2"
    | "SessionOptionsAppendExecutionProvider_TensorRT_V2";
  readonly release: "ReleaseCUDAProviderOptions" | "ReleaseTensorRTProviderOptions";
}

const OWN_OPTIONS: Readonly<Record<string, OwnOptions>> = {
  CUDAExecutionProvider: {
    create: "CreateCUDAProviderOptions",
    update: "UpdateCUDAProviderOptions",
    append: "SessionOptionsAppendExecutionProvider_CUDA_V2",
    release: "ReleaseCUDAProviderOptions",
  },
  TensorrtExecutionProvider: {
    create: "CreateTensorRTProviderOptions",
    update: "UpdateTensorRTProviderOptions",
    append: "SessionOptionsAppendExecutionProvider_TensorRT_V2",
    release: "ReleaseTensorRTProviderOptions",
  },
};

function appendWithOwnOptions(
  target: Pointer,
  name: string,
  { create, update, append, release }: OwnOptions,
  keys: CStrings,
  values: CStrings,
  length: number,
): void {
  const { api } = ort();
  check(api[create](scratch().a), `make options of ${name}`);
  const options = pointerIn()!;
  try {
    if (length) check(api[update](options, keys.pointers, values.pointers, BigInt(length)), `set options of ${name}`);
    check(api[append](target, options), `add provider ${name}`);
  } finally {
    api[release](options);
  }
}

function appendProvider(target: Pointer, given: string, options: Record<string, string>): void {
  const { api, providers, path, version } = ort(), name = LONG_NAMES[given.toLowerCase()] ?? given;
  const unavailable = (because: string, cause?: unknown): NativeError =>
    new NativeError("PROVIDER_UNAVAILABLE", `Cannot use execution provider "${given}": ${because}`, { cause });
  if (!providers.includes(name)) {
    throw unavailable(`onnxruntime ${version} at ${path} was built with ${providers.join(", ")}`);
  }
  if (name === "CPUExecutionProvider") return; // always there, always last
  const entries = Object.entries(options);
  const keys = new CStrings(entries.map(([key]) => key)), values = new CStrings(entries.map(([, value]) => value));
  try {
    const own = OWN_OPTIONS[name];
    if (own) return appendWithOwnOptions(target, name, own, keys, values, entries.length);
    const generic = cstring(GENERIC_NAMES[name] ?? name), length = BigInt(entries.length);
    const status = api.SessionOptionsAppendExecutionProvider(target, generic, keys.pointers, values.pointers, length);
    check(status, `add provider ${name}`);
  } catch (cause) {
    throw unavailable((cause as Error).message, cause);
  }
}

function apply(target: Pointer, options: NativeSessionOptions): void {
  const { api } = ort(), doing = "set session options";
  if (!ownThreadPool(options)) check(api.DisablePerSessionThreads(target), doing);
  if (options.intraOpNumThreads !== undefined) {
    check(api.SetIntraOpNumThreads(target, options.intraOpNumThreads), doing);
  }
  if (options.interOpNumThreads !== undefined) {
    check(api.SetInterOpNumThreads(target, options.interOpNumThreads), doing);
  }
  if (options.executionMode === "parallel") check(api.SetSessionExecutionMode(target, ORT_PARALLEL), doing);
  check(api.SetSessionGraphOptimizationLevel(target, LEVEL[options.graphOptimizationLevel ?? "all"]), doing);
  for (const [name, value] of Object.entries(options.freeDimensionOverrides ?? {})) {
    check(api.AddFreeDimensionOverrideByName(target, cstring(name), BigInt(value)), doing);
  }
  if (options.optimizedModelPath !== undefined) {
    check(api.SetOptimizedModelFilePath(target, cstring(options.optimizedModelPath)), doing);
  }
  if (options.enableCpuMemArena === false) check(api.DisableCpuMemArena(target), doing);
  if (options.enableProfiling) check(api.EnableProfiling(target, cstring("onnxruntime_profile_")), doing);
  check(api.SetSessionLogSeverityLevel(target, options.logSeverityLevel ?? LOG_FATAL), doing);
  for (const [key, value] of Object.entries(options.extra ?? {})) {
    check(api.AddSessionConfigEntry(target, cstring(key), cstring(value)), `set session option "${key}"`);
  }
  for (const provider of options.executionProviders ?? []) {
    if (typeof provider === "string") appendProvider(target, provider, {});
    else appendProvider(target, provider.name, provider.options ?? {});
  }
}

/**
 * Native session options, which the caller releases.
 *
 * @throws {NativeError} PROVIDER_UNAVAILABLE when onnxruntime has no such execution provider
 */
export function createNativeOptions(options: NativeSessionOptions): Pointer {
  const { api } = ort();
  check(api.CreateSessionOptions(scratch().a), "make session options");
  const target = pointerIn()!;
  try {
    apply(target, options);
    return target;
  } catch (error) {
    api.ReleaseSessionOptions(target);
    throw error;
  }
}
