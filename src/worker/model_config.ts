import { rangeError, typeError } from "../errors.ts";
import { checkOptionNames, checkSessionOptions, type SessionOptions } from "../ort/session_options.ts";

/** How a worker serves a model. */
export interface ModelConfig {
  /** Path of the model's file. */
  path: string;
  /** How the session is made. Default: as `InferenceSession.create` does. */
  session?: Omit<SessionOptions, "signal" | "onProgress">;
  /**
   * Requests that run as one, at most, counted by their rows. Requests are joined where it was proven, by runs, that
   * each gives what it gives alone, to the bit. Default: 1, which joins none.
   */
  maxBatchSize?: number;
  /**
   * For how long a request may wait for others to join it, in ms, while the model runs others: never while it is idle.
   * Default: 0, which joins those that wait anyway.
   */
  maxQueueDelayMs?: number;
  /** Requests that wait, at most; more are refused with WORKER_BUSY. Default: 4096. */
  maxQueueSize?: number;
  /** For how long a request waits for its turn, in ms, before it fails with WORKER_TIMEOUT. Default: without an end. */
  queueTimeoutMs?: number;
  /** Whether to run it once before it is ready, on numbers that are made up. Default: `true`. */
  warmup?: boolean;
  /** For how long without a request it stays loaded, in ms; -1 for ever, the default. The next request loads it again. */
  ttlMs?: number;
  /** Outputs by the names of the inputs that they are the next values of, for requests of a sequence. */
  state?: Readonly<Record<string, string>>;
  /** What it calls itself. Default: "1". */
  version?: string;
  /** Sizes of open dimensions that are no batch, by their names: known to who proves that requests can be joined. */
  dimensions?: Readonly<Record<string, number>>;
  /** What joining may change: this part of an output's largest number. Default: nothing. */
  batchTolerance?: number;
}

/** One with its defaults. */
export type CompleteConfig = Required<Omit<ModelConfig, "batchTolerance">> & {
  readonly batchTolerance: number | undefined;
};

/** One as it is given: without what it does not say. */
export function definedConfig({ batchTolerance, ...config }: CompleteConfig): ModelConfig {
  return { ...config, ...(batchTolerance !== undefined && { batchTolerance }) };
}

const KNOWN = [
  "path",
  "session",
  "maxBatchSize",
  "maxQueueDelayMs",
  "maxQueueSize",
  "queueTimeoutMs",
  "warmup",
  "ttlMs",
  "state",
  "version",
  "dimensions",
  "batchTolerance",
];

/** Names that can be a part of a path of URLs, and nothing else. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** @throws {TypeError} INVALID_ARGUMENT */
export function checkModelName(name: string): void {
  if (NAME.test(name)) return;
  const message = `Cannot serve a model as ${JSON.stringify(name)}: up to 128 letters, digits, ".", "_" and "-" wanted`;
  throw typeError("INVALID_ARGUMENT", message);
}

/** Fills in what is not said. @throws {TypeError | RangeError} */
export function completeConfig(name: string, given: string | ModelConfig): CompleteConfig {
  checkModelName(name);
  const config = typeof given === "string" ? { path: given } : given, cannot = `Cannot serve model "${name}"`;
  if (typeof config !== "object" || config === null || typeof config.path !== "string" || config.path === "") {
    throw typeError("INVALID_ARGUMENT", `${cannot}: the path of a file wanted`);
  }
  const unknown = Object.keys(config).find((key) => !KNOWN.includes(key));
  if (unknown) throw typeError("INVALID_ARGUMENT", `${cannot}: there is no option "${unknown}"`);
  const { session = {}, state = {}, version = "1", warmup = true, dimensions = {}, path, batchTolerance } = config;
  checkOptionNames(session as SessionOptions);
  checkSessionOptions(session as SessionOptions);
  if (typeof version !== "string" || !NAME.test(version)) {
    throw typeError("INVALID_ARGUMENT", `${cannot}: a version such as "1" wanted, ${JSON.stringify(version)} found`);
  }
  const { maxBatchSize = 1, maxQueueDelayMs = 0, maxQueueSize = 4096, queueTimeoutMs = Infinity, ttlMs = -1 } = config;
  const check = (what: string, value: number, isValid: boolean, wanted: string): void => {
    if (!isValid) throw rangeError("OUT_OF_RANGE", `${cannot}: ${what} ${wanted} wanted, ${value} found`);
  };
  check(
    "maxBatchSize",
    maxBatchSize,
    Number.isInteger(maxBatchSize) && maxBatchSize >= 1 && maxBatchSize <= 1024,
    "from 1 to 1024",
  );
  check("maxQueueDelayMs", maxQueueDelayMs, maxQueueDelayMs >= 0 && maxQueueDelayMs <= 60_000, "from 0 to 60000");
  check("maxQueueSize", maxQueueSize, Number.isSafeInteger(maxQueueSize) && maxQueueSize >= 1, "from 1 up");
  check("queueTimeoutMs", queueTimeoutMs, queueTimeoutMs > 0, "above 0");
  check("ttlMs", ttlMs, ttlMs === -1 || ttlMs >= 0, "from 0 up, or -1");
  return {
    path,
    session,
    state,
    version,
    warmup,
    dimensions,
    batchTolerance,
    maxBatchSize,
    maxQueueDelayMs,
    maxQueueSize,
    queueTimeoutMs,
    ttlMs,
  };
}
