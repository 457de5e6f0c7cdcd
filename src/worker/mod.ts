/**
 * A model worker: one process owns models, and many run them in microseconds, through shared memory.
 *
 * @module
 */
export { ModelWorker } from "./model_worker.ts";
export type { WorkerOptions } from "./worker_options.ts";
export type { HttpOptions } from "./http/http_options.ts";
export type { ModelConfig } from "./model_config.ts";
export type { ClientStatus, ModelStatus, ProcessMemory, WorkerState, WorkerStatus } from "../protocol/status.ts";
