import type { CallOptions, CallSyncOptions } from "../protocol/call_options.ts";
import type { ModelDescription } from "../protocol/remote_model.ts";
import type { WorkerStatus } from "../protocol/status.ts";
import type { Feeds } from "../session/run_options.ts";
import type { Tensors } from "../session/tensors.ts";

/** Which model of a server is meant. */
export interface ModelName {
  readonly name: string;
  readonly version: string | undefined;
  /** Both in one. */
  readonly key: string;
}

/** Makes one. */
export function modelName(name: string, version: string | undefined): ModelName {
  return { name, version, key: version === undefined ? name : `${name}@${version}` };
}

/** Mistakes that may be due to a model's inputs and outputs having changed. */
export const MAY_BE_CHANGED: readonly unknown[] = [
  "MODEL_CHANGED",
  "UNKNOWN_FEED",
  "MISSING_FEED",
  "INVALID_DTYPE",
  "INVALID_SHAPE",
  "UNKNOWN_OUTPUT",
];

/** How a client reaches who runs its models. */
export interface Link {
  /** Connects if need be, waiting as the retries allow. @throws {WorkerError} */
  connect(): Promise<void>;
  /** What is told of a model. @throws {WorkerError} UNKNOWN_MODEL and as {@linkcode Link.run} */
  describe(model: ModelName): Promise<ModelDescription>;
  /** Whether requests are taken, without waiting for that. @throws {WorkerError} where nobody answers */
  health(): Promise<boolean>;
  /** What the worker is doing. @throws {WorkerError} @throws {TypeError} UNSUPPORTED where that is not told */
  status(): Promise<WorkerStatus>;
  /** Runs a model. @throws as `InferenceSession.run` rejects; {@linkcode WorkerError} */
  run(model: ModelName, feeds: Feeds, options: CallOptions | undefined): Promise<Tensors>;
  /** Runs a model while this thread waits. @throws as {@linkcode Link.run}; {TypeError} UNSUPPORTED where no thread can */
  runSync(model: ModelName, feeds: Feeds, options: CallSyncOptions | undefined): Tensors;
  /** Ends it: requests in flight fail with WORKER_UNAVAILABLE. */
  close(): Promise<void>;
}
