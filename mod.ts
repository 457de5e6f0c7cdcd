/**
 * One copy of every model on the machine: onnxruntime for Deno and Bun, called straight through FFI.
 *
 * @example
 * ```ts
 * import { models, Tensor } from "@coload/onnx";
 *
 * const file = new URL(import.meta.resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx"));
 * using vad = await models.load(file); // loaded once per process, whoever asks
 *
 * const input = Tensor.from(new Float32Array(512), [1, 512]); // 32 ms of sound at 16 kHz
 * const state = Tensor.zeros("float32", [2, 1, 128]);
 * const sr = Tensor.from([16000], [], "int64");
 * using out = await vad.run({ input, state, sr }); // the event loop stays free
 * console.log(out.output.as("float32").data[0]); // the probability of speech: 0.04 for silence
 * ```
 *
 * @module
 */
export {
  type ErrorCode,
  LibraryError,
  MemoryError,
  NativeError,
  OrtError,
  type OrtErrorCode,
  PythonError,
  SystemError,
  WorkerError,
} from "./src/errors.ts";
export type { SharedMemoryCapabilities } from "./src/memory/shared_memory_capabilities.ts";
export { type Capabilities, capabilities } from "./src/ort/capabilities.ts";
export { type Configuration, configure } from "./src/ort/configuration.ts";
export type { PythonCapabilities } from "./src/ort/python_capabilities.ts";
export type { ModelMetadata } from "./src/ort/model_metadata.ts";
export type { ModelSource } from "./src/ort/model_source.ts";
export type { LoadProgress } from "./src/ort/load_progress.ts";
export type { SessionOptions, ShrinkArena } from "./src/ort/session_options.ts";
export type { ValueInfo } from "./src/ort/type_info.ts";
export type { EvictionPolicy } from "./src/registry/eviction.ts";
export type { EvictionReason, RegistryEventDetail, RegistryEventType } from "./src/registry/events.ts";
export type { AcquireOptions } from "./src/registry/key.ts";
export type { ModelHandle } from "./src/registry/model_handle.ts";
export { ModelRegistry, models } from "./src/registry/model_registry.ts";
export type { LoadedModel, ModelInfo, RegistryMetrics, RegistryOptions } from "./src/registry/registry_types.ts";
export type { Binding } from "./src/session/binding.ts";
export { InferenceSession, type Model, type SessionMemory } from "./src/session/inference_session.ts";
export type { WeightMemory } from "./src/session/native_session.ts";
export type { Feeds, RunOptions, RunSyncOptions } from "./src/session/run_options.ts";
export type { Tensors } from "./src/session/tensors.ts";
export { sweepSharedMemory } from "./src/memory/regions.ts";
export { type OpenRegionOptions, type RegionOptions, SharedMemoryRegion } from "./src/memory/shared_memory_region.ts";
export { tensorByteLength } from "./src/tensor/bytes.ts";
export { type DLPackOptions, DLPackTensor, fromDLPack, toDLPack } from "./src/tensor/dlpack.ts";
export type { MemoryScope } from "./src/tensor/memory_scope.ts";
export {
  type AllocatorMetrics,
  type AllocatorOptions,
  type ScopeMetrics,
  type ScopeOptions,
  SharedMemoryAllocator,
} from "./src/tensor/shared_memory_allocator.ts";
export type { TensorBase } from "./src/tensor/tensor_base.ts";
export { formatTensorRef, type TensorRef } from "./src/tensor/tensor_ref.ts";
export { fromBFloat16, toBFloat16 } from "./src/tensor/bfloat16.ts";
export type { DataOf, DType, DTypeOf, NumericArray } from "./src/tensor/dtype.ts";
export type { StorageKind } from "./src/tensor/storage.ts";
export { Tensor } from "./src/tensor/tensor.ts";
export type { SharingMode } from "./src/weights/key.ts";
export type { Sharing } from "./src/weights/share.ts";
