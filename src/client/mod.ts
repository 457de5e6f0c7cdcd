/**
 * The other end of a model worker, or of a server of the Open Inference Protocol: its models, with the interface of a
 * session in this process.
 *
 * @module
 */
export { type ClientOptions, type InferOptions, ModelClient } from "./model_client.ts";
export type { RemoteSession } from "./remote_session.ts";
export type { RetryOptions } from "./retry.ts";
export type { CallOptions, CallSyncOptions, RequestOptions, SequenceOptions } from "../protocol/call_options.ts";
export type { Priority } from "../protocol/lane_layout.ts";
export type { ClientStatus, ModelStatus, ProcessMemory, WorkerState, WorkerStatus } from "../protocol/status.ts";
