import { rangeError, typeError } from "../errors.ts";
import { configuration } from "../ort/configuration.ts";
import { defaultSocket, socketPath } from "../protocol/endpoint.ts";
import { MOST_EXECUTORS, MOST_MODELS } from "./board/layout.ts";
import { type CompleteHttpOptions, completeHttpOptions, type HttpOptions } from "./http/http_options.ts";
import { type CompleteConfig, completeConfig, type ModelConfig } from "./model_config.ts";

/** Options of {@linkcode ModelWorker.serve}. */
export interface WorkerOptions {
  /** Models by the names that clients know them by: paths of files, or how to serve them. */
  models: Readonly<Record<string, string | ModelConfig>>;
  /** Path of the unix socket. Default: one of the user's own, which clients find by themselves. */
  socket?: string;
  /** Where it answers HTTP, by the Open Inference Protocol: an address such as `127.0.0.1:8000`, or more. Default: nowhere. */
  http?: string | HttpOptions;
  /** Threads that run models. Default: as many as runs may be at once, from 2 to 16. */
  executors?: number;
  /** Bytes that all models together may hold. Default: without a bound. */
  maxMemoryBytes?: number;
}

/** Options with their defaults. */
export interface CompleteOptions {
  readonly configs: ReadonlyMap<string, CompleteConfig>;
  readonly socket: string;
  readonly http: CompleteHttpOptions | undefined;
  readonly executors: number;
  readonly maxMemoryBytes: number | undefined;
}

const executorsByDefault = (): number => Math.min(MOST_EXECUTORS, Math.max(2, configuration().maxConcurrentRuns));

/** Fills in what is not said. @throws {TypeError | RangeError} @throws {SystemError} SOCKET_PATH */
export function completeOptions(options: WorkerOptions): CompleteOptions {
  if (
    typeof options !== "object" || options === null || typeof options.models !== "object" || options.models === null
  ) {
    throw typeError("INVALID_ARGUMENT", "Cannot serve: an object with models wanted");
  }
  const { models, socket = defaultSocket(), http, executors, maxMemoryBytes, ...others } = options;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw typeError("INVALID_ARGUMENT", `Cannot serve: there is no option "${unknown}"`);
  const configs = new Map(Object.entries(models).map(([name, config]) => [name, completeConfig(name, config)]));
  if (configs.size === 0 || configs.size > MOST_MODELS) {
    throw rangeError("OUT_OF_RANGE", `Cannot serve: from 1 to ${MOST_MODELS} models wanted, ${configs.size} found`);
  }
  const isCount = executors === undefined ||
    (Number.isInteger(executors) && executors >= 1 && executors <= MOST_EXECUTORS);
  if (!isCount) {
    throw rangeError("OUT_OF_RANGE", `Cannot serve: from 1 to ${MOST_EXECUTORS} executors wanted, ${executors} found`);
  }
  return {
    configs,
    socket: socketPath(socket),
    http: http === undefined ? undefined : completeHttpOptions(http),
    executors: executors ?? executorsByDefault(),
    maxMemoryBytes,
  };
}
