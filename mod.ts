/**
 * One copy of every model on the machine: onnxruntime for Deno and Bun, called straight through FFI.
 *
 * @example
 * ```ts ignore
 * import { models, Tensor } from "@coload/onnx";
 *
 * using vad = await models.load("silero_vad.onnx"); // loaded once per process, whoever asks
 * using out = await vad.run({ input, state, sr }); // the event loop stays free
 * console.log(out.output.as("float32").data[0]);
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
  SystemError,
} from "./src/errors.ts";
export { type Capabilities, capabilities } from "./src/ort/capabilities.ts";
export { type Configuration, configure } from "./src/ort/configuration.ts";
export type { ModelMetadata } from "./src/ort/model_metadata.ts";
export type { ModelSource } from "./src/ort/model_source.ts";
export type { LoadProgress, SessionOptions } from "./src/ort/session_options.ts";
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
export { fromBFloat16, toBFloat16 } from "./src/tensor/bfloat16.ts";
export type { DataOf, DType, DTypeOf, NumericArray } from "./src/tensor/dtype.ts";
export type { StorageKind } from "./src/tensor/storage.ts";
export { Tensor } from "./src/tensor/tensor.ts";
