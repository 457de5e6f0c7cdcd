/**
 * The functions of onnxruntime's C API that Coload calls: their slots in `struct OrtApi` and their signatures, after
 * `onnxruntime_c_api.h`. Slots are append-only; the API version that introduced a slot is given where it is above 1.22.
 *
 * @module
 */
import { cstring } from "./cstring.ts";
import { libc } from "./libc.ts";
import { ffi, type Linked, type Native, type NativeType, type Pointer, type Signature } from "./mod.ts";
import { offset } from "./native_memory.ts";

/** The oldest API with all that Coload cannot do without (cancelling a load), and the release that brought it. */
export const MINIMUM_API = 22;

const STATUS = "pointer"; // OrtStatus *, NULL for success

const SLOTS = {
  GetErrorCode: [1, ["pointer"], "i32"], // (const OrtStatus *)
  GetErrorMessage: [2, ["pointer"], "pointer"], // (const OrtStatus *)
  CreateSession: [7, ["pointer", "pointer", "pointer", "pointer"], STATUS], // (const OrtEnv *, const char *path, const OrtSessionOptions *, OrtSession **)
  CreateSessionFromArray: [8, ["pointer", "pointer", "usize", "pointer", "pointer"], STATUS], // (const OrtEnv *, const void *model, size_t, const OrtSessionOptions *, OrtSession **)
  Run: [9, ["pointer", "pointer", "pointer", "pointer", "usize", "pointer", "usize", "pointer"], STATUS], // (OrtSession *, const OrtRunOptions *, const char *const *input_names, const OrtValue *const *inputs, size_t, const char *const *output_names, size_t, OrtValue **outputs)
  CreateSessionOptions: [10, ["pointer"], STATUS], // (OrtSessionOptions **)
  SetOptimizedModelFilePath: [11, ["pointer", "buffer"], STATUS], // (OrtSessionOptions *, const char *path)
  SetSessionExecutionMode: [13, ["pointer", "i32"], STATUS], // (OrtSessionOptions *, ExecutionMode)
  EnableProfiling: [14, ["pointer", "buffer"], STATUS], // (OrtSessionOptions *, const char *prefix)
  DisableCpuMemArena: [19, ["pointer"], STATUS], // (OrtSessionOptions *)
  SetSessionLogSeverityLevel: [22, ["pointer", "i32"], STATUS], // (OrtSessionOptions *, int)
  SetSessionGraphOptimizationLevel: [23, ["pointer", "i32"], STATUS], // (OrtSessionOptions *, GraphOptimizationLevel)
  SetIntraOpNumThreads: [24, ["pointer", "i32"], STATUS], // (OrtSessionOptions *, int)
  SetInterOpNumThreads: [25, ["pointer", "i32"], STATUS], // (OrtSessionOptions *, int)
  SessionGetInputCount: [30, ["pointer", "pointer"], STATUS], // (const OrtSession *, size_t *)
  SessionGetOutputCount: [31, ["pointer", "pointer"], STATUS], // (const OrtSession *, size_t *)
  SessionGetOverridableInitializerCount: [32, ["pointer", "pointer"], STATUS], // (const OrtSession *, size_t *)
  SessionGetInputTypeInfo: [33, ["pointer", "usize", "pointer"], STATUS], // (const OrtSession *, size_t, OrtTypeInfo **)
  SessionGetOutputTypeInfo: [34, ["pointer", "usize", "pointer"], STATUS], // (const OrtSession *, size_t, OrtTypeInfo **)
  SessionGetOverridableInitializerTypeInfo: [35, ["pointer", "usize", "pointer"], STATUS], // (const OrtSession *, size_t, OrtTypeInfo **)
  SessionGetInputName: [36, ["pointer", "usize", "pointer", "pointer"], STATUS], // (const OrtSession *, size_t, OrtAllocator *, char **)
  SessionGetOutputName: [37, ["pointer", "usize", "pointer", "pointer"], STATUS], // (const OrtSession *, size_t, OrtAllocator *, char **)
  SessionGetOverridableInitializerName: [38, ["pointer", "usize", "pointer", "pointer"], STATUS], // (const OrtSession *, size_t, OrtAllocator *, char **)
  CreateRunOptions: [39, ["pointer"], STATUS], // (OrtRunOptions **)
  AddRunConfigEntry: [165, ["pointer", "buffer", "buffer"], STATUS], // (OrtRunOptions *, const char *key, const char *value)
  RunOptionsSetTerminate: [46, ["pointer"], STATUS], // (OrtRunOptions *)
  RunOptionsUnsetTerminate: [47, ["pointer"], STATUS], // (OrtRunOptions *)
  CreateTensorAsOrtValue: [48, ["pointer", "buffer", "usize", "i32", "pointer"], STATUS], // (OrtAllocator *, const int64_t *shape, size_t, ONNXTensorElementDataType, OrtValue **)
  CreateTensorWithDataAsOrtValue: [49, ["pointer", "pointer", "usize", "buffer", "usize", "i32", "pointer"], STATUS], // (const OrtMemoryInfo *, void *data, size_t, const int64_t *shape, size_t, ONNXTensorElementDataType, OrtValue **)
  IsTensor: [50, ["pointer", "pointer"], STATUS], // (const OrtValue *, int *)
  GetTensorMutableData: [51, ["pointer", "pointer"], STATUS], // (OrtValue *, void **)
  FillStringTensor: [52, ["pointer", "buffer", "usize"], STATUS], // (OrtValue *, const char *const *, size_t)
  GetStringTensorDataLength: [53, ["pointer", "pointer"], STATUS], // (const OrtValue *, size_t *)
  GetStringTensorContent: [54, ["pointer", "buffer", "usize", "buffer", "usize"], STATUS], // (const OrtValue *, void *, size_t, size_t *offsets, size_t)
  CastTypeInfoToTensorInfo: [55, ["pointer", "pointer"], STATUS], // (const OrtTypeInfo *, const OrtTensorTypeAndShapeInfo **)
  GetOnnxTypeFromTypeInfo: [56, ["pointer", "pointer"], STATUS], // (const OrtTypeInfo *, enum ONNXType *)
  GetTensorElementType: [60, ["pointer", "pointer"], STATUS], // (const OrtTensorTypeAndShapeInfo *, enum ONNXTensorElementDataType *)
  GetDimensionsCount: [61, ["pointer", "pointer"], STATUS], // (const OrtTensorTypeAndShapeInfo *, size_t *)
  GetDimensions: [62, ["pointer", "buffer", "usize"], STATUS], // (const OrtTensorTypeAndShapeInfo *, int64_t *, size_t)
  GetSymbolicDimensions: [63, ["pointer", "buffer", "usize"], STATUS], // (const OrtTensorTypeAndShapeInfo *, const char **, size_t)
  GetTensorTypeAndShape: [65, ["pointer", "pointer"], STATUS], // (const OrtValue *, OrtTensorTypeAndShapeInfo **)
  GetValueType: [67, ["pointer", "pointer"], STATUS], // (const OrtValue *, enum ONNXType *)
  CreateCpuMemoryInfo: [69, ["i32", "i32", "pointer"], STATUS], // (enum OrtAllocatorType, enum OrtMemType, OrtMemoryInfo **)
  AllocatorAlloc: [75, ["pointer", "usize", "pointer"], STATUS], // (OrtAllocator *, size_t, void **)
  AllocatorFree: [76, ["pointer", "pointer"], STATUS], // (OrtAllocator *, void *)
  GetAllocatorWithDefaultOptions: [78, ["pointer"], STATUS], // (OrtAllocator **)
  ReleaseStatus: [93, ["pointer"], "void"], // (OrtStatus *)
  ReleaseSession: [95, ["pointer"], "void"], // (OrtSession *)
  ReleaseValue: [96, ["pointer"], "void"], // (OrtValue *)
  ReleaseRunOptions: [97, ["pointer"], "void"], // (OrtRunOptions *)
  ReleaseTypeInfo: [98, ["pointer"], "void"], // (OrtTypeInfo *)
  ReleaseTensorTypeAndShapeInfo: [99, ["pointer"], "void"], // (OrtTensorTypeAndShapeInfo *)
  ReleaseSessionOptions: [100, ["pointer"], "void"], // (OrtSessionOptions *)
  CastTypeInfoToMapTypeInfo: [103, ["pointer", "pointer"], STATUS], // (const OrtTypeInfo *, const OrtMapTypeInfo **)
  CastTypeInfoToSequenceTypeInfo: [104, ["pointer", "pointer"], STATUS], // (const OrtTypeInfo *, const OrtSequenceTypeInfo **)
  GetMapKeyType: [105, ["pointer", "pointer"], STATUS], // (const OrtMapTypeInfo *, enum ONNXTensorElementDataType *)
  GetMapValueType: [106, ["pointer", "pointer"], STATUS], // (const OrtMapTypeInfo *, OrtTypeInfo **)
  GetSequenceElementType: [107, ["pointer", "pointer"], STATUS], // (const OrtSequenceTypeInfo *, OrtTypeInfo **)
  SessionGetModelMetadata: [111, ["pointer", "pointer"], STATUS], // (const OrtSession *, OrtModelMetadata **)
  ModelMetadataGetProducerName: [112, ["pointer", "pointer", "pointer"], STATUS], // (const OrtModelMetadata *, OrtAllocator *, char **)
  ModelMetadataGetGraphName: [113, ["pointer", "pointer", "pointer"], STATUS], // (const OrtModelMetadata *, OrtAllocator *, char **)
  ModelMetadataGetDomain: [114, ["pointer", "pointer", "pointer"], STATUS], // (const OrtModelMetadata *, OrtAllocator *, char **)
  ModelMetadataGetDescription: [115, ["pointer", "pointer", "pointer"], STATUS], // (const OrtModelMetadata *, OrtAllocator *, char **)
  ModelMetadataLookupCustomMetadataMap: [116, ["pointer", "pointer", "buffer", "pointer"], STATUS], // (const OrtModelMetadata *, OrtAllocator *, const char *key, char **)
  ModelMetadataGetVersion: [117, ["pointer", "pointer"], STATUS], // (const OrtModelMetadata *, int64_t *)
  ReleaseModelMetadata: [118, ["pointer"], "void"], // (OrtModelMetadata *)
  CreateEnvWithGlobalThreadPools: [119, ["i32", "buffer", "pointer", "pointer"], STATUS], // (OrtLoggingLevel, const char *id, const OrtThreadingOptions *, OrtEnv **)
  DisablePerSessionThreads: [120, ["pointer"], STATUS], // (OrtSessionOptions *)
  CreateThreadingOptions: [121, ["pointer"], STATUS], // (OrtThreadingOptions **)
  ReleaseThreadingOptions: [122, ["pointer"], "void"], // (OrtThreadingOptions *)
  ModelMetadataGetCustomMetadataMapKeys: [123, ["pointer", "pointer", "pointer", "pointer"], STATUS], // (const OrtModelMetadata *, OrtAllocator *, char ***keys, int64_t *)
  AddFreeDimensionOverrideByName: [124, ["pointer", "buffer", "i64"], STATUS], // (OrtSessionOptions *, const char *name, int64_t)
  GetAvailableProviders: [125, ["pointer", "pointer"], STATUS], // (char ***, int *)
  ReleaseAvailableProviders: [126, ["pointer", "i32"], STATUS], // (char **, int)
  AddSessionConfigEntry: [130, ["pointer", "buffer", "buffer"], STATUS], // (OrtSessionOptions *, const char *key, const char *value)
  CreateAllocator: [131, ["pointer", "pointer", "pointer"], STATUS], // (const OrtSession *, const OrtMemoryInfo *, OrtAllocator **)
  ReleaseAllocator: [132, ["pointer"], "void"], // (OrtAllocator *)
  RunWithBinding: [133, ["pointer", "pointer", "pointer"], STATUS], // (OrtSession *, const OrtRunOptions *, const OrtIoBinding *)
  CreateIoBinding: [134, ["pointer", "pointer"], STATUS], // (OrtSession *, OrtIoBinding **)
  ReleaseIoBinding: [135, ["pointer"], "void"], // (OrtIoBinding *)
  BindInput: [136, ["pointer", "buffer", "pointer"], STATUS], // (OrtIoBinding *, const char *name, const OrtValue *)
  BindOutput: [137, ["pointer", "buffer", "pointer"], STATUS], // (OrtIoBinding *, const char *name, const OrtValue *)
  SetGlobalIntraOpNumThreads: [147, ["pointer", "i32"], STATUS], // (OrtThreadingOptions *, int)
  SetGlobalInterOpNumThreads: [148, ["pointer", "i32"], STATUS], // (OrtThreadingOptions *, int)
  SetGlobalSpinControl: [149, ["pointer", "i32"], STATUS], // (OrtThreadingOptions *, int)
  CreateCUDAProviderOptions: [205, ["pointer"], STATUS], // (OrtCUDAProviderOptionsV2 **)
  UpdateCUDAProviderOptions: [206, ["pointer", "buffer", "buffer", "usize"], STATUS], // (OrtCUDAProviderOptionsV2 *, const char *const *keys, const char *const *values, size_t)
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, ["pointer", "pointer"], STATUS], // (OrtSessionOptions *, const OrtCUDAProviderOptionsV2 *)
  ReleaseCUDAProviderOptions: [208, ["pointer"], "void"], // (OrtCUDAProviderOptionsV2 *)
  CreateTensorRTProviderOptions: [171, ["pointer"], STATUS], // (OrtTensorRTProviderOptionsV2 **)
  UpdateTensorRTProviderOptions: [172, ["pointer", "buffer", "buffer", "usize"], STATUS], // (OrtTensorRTProviderOptionsV2 *, const char *const *keys, const char *const *values, size_t)
  SessionOptionsAppendExecutionProvider_TensorRT_V2: [170, ["pointer", "pointer"], STATUS], // (OrtSessionOptions *, const OrtTensorRTProviderOptionsV2 *)
  ReleaseTensorRTProviderOptions: [174, ["pointer"], "void"], // (OrtTensorRTProviderOptionsV2 *)
  ModelMetadataGetGraphDescription: [158, ["pointer", "pointer", "pointer"], STATUS], // (const OrtModelMetadata *, OrtAllocator *, char **)
  HasValue: [192, ["pointer", "pointer"], STATUS], // (const OrtValue *, int *)
  SessionOptionsAppendExecutionProvider: [216, ["pointer", "buffer", "buffer", "buffer", "usize"], STATUS], // (OrtSessionOptions *, const char *name, const char *const *keys, const char *const *values, size_t)
  GetResizedStringTensorElementBuffer: [252, ["pointer", "usize", "usize", "pointer"], STATUS], // (OrtValue *, size_t index, size_t length, char **)
  CastTypeInfoToOptionalTypeInfo: [250, ["pointer", "pointer"], STATUS], // (const OrtTypeInfo *, const OrtOptionalTypeInfo **)
  GetOptionalContainedTypeInfo: [251, ["pointer", "pointer"], STATUS], // (const OrtOptionalTypeInfo *, OrtTypeInfo **)
  GetBuildInfoString: [254, [], "pointer"], // const char *(void)
  SessionOptionsSetLoadCancellationFlag: [293, ["pointer", "i32"], STATUS], // (OrtSessionOptions *, bool)
  GetKeyValue: [297, ["pointer", "buffer"], "pointer"], // (const OrtKeyValuePairs *, const char *key)
  ReleaseKeyValuePairs: [300, ["pointer"], "void"], // (OrtKeyValuePairs *)
} as const satisfies Record<
  string,
  readonly [slot: number, parameters: readonly NativeType[], result: Signature["result"]]
>;

/** Slots that newer libraries have, with the API version from which Coload uses them. */
const NEWER = {
  AllocatorGetStats: [319, ["pointer", "pointer"], STATUS, 23], // (const OrtAllocator *, OrtKeyValuePairs **)
  GetTensorElementTypeAndShapeDataReference: [414, ["pointer", "pointer", "pointer", "pointer"], STATUS, 25], // (const OrtValue *, enum ONNXTensorElementDataType *, const int64_t **shape, size_t *)
} as const satisfies Record<string, readonly [number, readonly NativeType[], Signature["result"], number]>;

type Entry = readonly [number, readonly NativeType[], Signature["result"], ...unknown[]];
type SignatureOf<E extends Entry> = { readonly parameters: E[1]; readonly result: E[2] };

/** The functions of `struct OrtApi`, by their C names. */
export type OrtApi =
  & { readonly [K in keyof typeof SLOTS]: Native<SignatureOf<(typeof SLOTS)[K]>> }
  & { readonly [K in keyof typeof NEWER]?: Native<SignatureOf<(typeof NEWER)[K]>> };

/** A function of `struct OrtApi` that every accepted library has. */
export type OrtFunction = keyof typeof SLOTS;

/** A linked onnxruntime. */
export interface LinkedOnnxRuntime {
  readonly api: OrtApi;
  readonly fast: Linked<never>["fast"];
  /** Address of a function, to be called on a native thread. */
  address(name: OrtFunction): bigint;
}

/** `OrtGetApiBase` of a library that is open, or `null` if it exports none. */
export function apiBase(library: Pointer): Pointer | null {
  const symbol = libc().dlsym(library, cstring("OrtGetApiBase"));
  return symbol === null ? null : ffi.bind(symbol, { parameters: [], result: "pointer" })();
}

/** What a library calls itself, such as `1.30.0`. */
export function versionString(base: Pointer): string {
  const words = new BigUint64Array(ffi.view(base, 16));
  return ffi.string(ffi.bind(ffi.pointer(words[1]!)!, { parameters: [], result: "pointer" })()!);
}

/** Links the functions of a library of API version `apiVersion` (the minor of its version); `null` if it is too old. */
export function linkOnnxRuntime(base: Pointer, apiVersion: number): LinkedOnnxRuntime | null {
  const words = new BigUint64Array(ffi.view(base, 16));
  const api = ffi.bind(ffi.pointer(words[0]!)!, { parameters: ["u32"], result: "pointer" })(MINIMUM_API);
  if (api === null) return null;
  const newer = Object.entries(NEWER).filter(([, [, , , since]]) => apiVersion >= since);
  const entries = [...Object.entries(SLOTS), ...newer] as [string, Entry][];
  const slots = Math.max(...entries.map(([, [slot]]) => slot)) + 1;
  const table = new BigUint64Array(ffi.view(api, slots * 8));
  const pointers = Object.fromEntries(entries.map(([name, [slot]]) => [name, offset({ address: table[slot]! }, 0)]));
  const signatures = Object.fromEntries(
    entries.map(([name, [, parameters, result]]) => [name, { parameters, result }]),
  );
  const { symbols, fast } = ffi.link(pointers, signatures);
  return { api: symbols as unknown as OrtApi, fast, address: (name) => table[SLOTS[name][0]]! };
}
