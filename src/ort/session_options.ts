import { rangeError, typeError } from "../errors.ts";
import type { LoadProgress } from "./load_progress.ts";

/** When the memory of activations goes back to the system. */
export type ShrinkArena = "idle" | "run" | "never";

/** How onnxruntime creates a session. */
export interface SessionOptions {
  /** Threads within an operator. Given, the session gets a pool of its own instead of the process's. */
  intraOpNumThreads?: number;
  /** Threads between operators, with `executionMode: "parallel"`. Given, the session gets a pool of its own. */
  interOpNumThreads?: number;
  /** Whether independent operators may run at once. Default: `"sequential"`. */
  executionMode?: "sequential" | "parallel";
  /** How much the graph is rewritten. Default: `"all"`. */
  graphOptimizationLevel?: "disabled" | "basic" | "extended" | "all";
  /** Values for symbolic dimensions, by the dimension's name. */
  freeDimensionOverrides?: Record<string, number>;
  /**
   * Where operators run, best first: `"cuda"`, `"tensorrt"` and the like, or a name as onnxruntime spells it. Default:
   * `["cpu"]`, which is always the last resort.
   */
  executionProviders?: readonly (string | { name: string; options: Record<string, string> })[];
  /** Whether activations come from an arena that keeps its memory. Default: `true`. */
  enableCpuMemArena?: boolean;
  /**
   * When the memory of activations goes back to the system: `"idle"`, one to two seconds after the last run; `"run"`, after each
   * one, which then takes it anew (a convolution's run of 57 ms became one of 81 ms); `"never"`. Default: `"idle"` where
   * weights are shared, else `"never"`. Without an arena it goes back after each run anyway.
   */
  shrinkArena?: ShrinkArena;
  /**
   * Whether the machine holds the weights once for all its processes: `"prepacked"` and `"mapped"` prepare a copy in
   * Coload's cache unless there is one, and load that; `"auto"`, the default, loads a prepacked copy that was made before;
   * `"off"` does not. It never makes a load fail: the session's `sharing` says what was done, and why.
   */
  shareWeights?: "auto" | "prepacked" | "mapped" | "off";
  /** Writes a profile in the working directory when the session is released. Default: `false`. */
  enableProfiling?: boolean;
  /** 0 verbose, 1 info, 2 warning, 3 error, 4 fatal. Default: 4, since errors are thrown. */
  logSeverityLevel?: 0 | 1 | 2 | 3 | 4;
  /** Further session configuration entries, by onnxruntime's own keys. */
  extra?: Record<string, string>;
  /** Stops the load, which rejects with its reason. */
  signal?: AbortSignal;
  /** Is told of each phase, and every 100 ms that it lasts. What it throws is reported as uncaught; the load goes on. */
  onProgress?: (progress: LoadProgress) => void;
}

/** The options that onnxruntime hears of: not who waits for the session, nor who is told how far it is. */
export type NativeSessionOptions = Omit<SessionOptions, "signal" | "onProgress" | "shareWeights" | "shrinkArena"> & {
  /** Where onnxruntime writes the model as it has rewritten it. */
  readonly optimizedModelPath?: string;
};

const EXECUTION_MODES = ["sequential", "parallel"] as const;
const OPTIMIZATION_LEVELS = ["disabled", "basic", "extended", "all"] as const;
const BOOLEANS = ["enableCpuMemArena", "enableProfiling"] as const;
const SHRINK_ARENA = ["idle", "run", "never"] as const;
const SHARE_WEIGHTS = ["auto", "prepacked", "mapped", "off"] as const;
const THREAD_COUNTS = ["intraOpNumThreads", "interOpNumThreads"] as const;
const KNOWN = new Set<string>([
  ...THREAD_COUNTS,
  ...BOOLEANS,
  "executionMode",
  "graphOptimizationLevel",
  "freeDimensionOverrides",
  "executionProviders",
  "shrinkArena",
  "shareWeights",
  "logSeverityLevel",
  "extra",
  "signal",
  "onProgress",
]);

/** Configuration entries that only mean something to a session with a thread pool of its own. */
const OWN_POOL_KEYS = [
  "session.intra_op.allow_spinning",
  "session.inter_op.allow_spinning",
  "session.intra_op_thread_affinities",
  "session.force_spinning_stop",
];

const invalid = (name: string, wanted: string, found: unknown): Error =>
  typeError("INVALID_ARGUMENT", `Cannot create a session with ${name} ${JSON.stringify(found)}: ${wanted} wanted`);

function checkExtra(options: SessionOptions): void {
  for (const [key, value] of Object.entries(options.extra ?? {})) {
    if (typeof value !== "string") throw invalid(`extra "${key}"`, "a string", value);
    if (OWN_POOL_KEYS.includes(key) && !ownThreadPool(options)) {
      throw invalid(
        `extra "${key}"`,
        "intraOpNumThreads or interOpNumThreads beside it, for a pool of its own,",
        value,
      );
    }
    if (key === "session.use_env_allocators" && value === "1" && options.enableCpuMemArena === false) {
      throw invalid(`extra "${key}"`, "no contradiction of enableCpuMemArena: false", value);
    }
  }
}

function checkProviders(providers: SessionOptions["executionProviders"]): void {
  if (providers !== undefined && !Array.isArray(providers)) throw invalid("executionProviders", "an array", providers);
  for (const provider of providers ?? []) {
    const name: unknown = typeof provider === "string" ? provider : provider?.name;
    if (typeof name !== "string" || name === "") throw invalid("executionProviders", "names", provider);
    const values: unknown[] = typeof provider === "string" ? [] : Object.values(provider.options ?? {});
    if (values.some((value) => typeof value !== "string")) throw invalid("executionProviders", "strings", provider);
  }
}

/** @throws {TypeError | RangeError} for an option that is unknown, of a wrong type, or contradicted by `extra`. */
export function checkSessionOptions(options: SessionOptions): void {
  for (const key of THREAD_COUNTS) {
    const value = options[key];
    if (value === undefined || (Number.isInteger(value) && value >= 0 && value <= 1024)) continue;
    throw rangeError("OUT_OF_RANGE", `Cannot create a session with ${key} ${value}: 0 to 1024 wanted`);
  }
  const one = <T>(name: keyof SessionOptions, values: readonly T[]): void => {
    const value = options[name];
    if (value !== undefined && !values.includes(value as T)) throw invalid(name, values.join(", "), value);
  };
  one("executionMode", EXECUTION_MODES);
  one("graphOptimizationLevel", OPTIMIZATION_LEVELS);
  one("shrinkArena", SHRINK_ARENA);
  one("shareWeights", SHARE_WEIGHTS);
  one("logSeverityLevel", [0, 1, 2, 3, 4]);
  BOOLEANS.forEach((name) => one(name, [true, false]));
  for (const [name, value] of Object.entries(options.freeDimensionOverrides ?? {})) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw rangeError("OUT_OF_RANGE", `Cannot override dimension "${name}" with ${value}: a whole number wanted`);
  }
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw invalid("signal", "an AbortSignal", options.signal);
  }
  checkProviders(options.executionProviders);
  checkExtra(options);
}

/** @throws {TypeError} for a name that is no option, as a typo would be. */
export function checkOptionNames(options: object, alsoKnown: readonly string[] = []): void {
  if (typeof options !== "object" || options === null) {
    throw typeError("INVALID_ARGUMENT", `Cannot create a session with ${String(options)}: an object of options wanted`);
  }
  const unknown = Object.keys(options).find((key) => !KNOWN.has(key) && !alsoKnown.includes(key));
  if (unknown) throw typeError("INVALID_ARGUMENT", `Cannot create a session: there is no option "${unknown}"`);
}

/** Whether the session computes on threads of its own. */
export function ownThreadPool(options: SessionOptions): boolean {
  return options.intraOpNumThreads !== undefined || options.interOpNumThreads !== undefined;
}

const sorted = (record: Record<string, unknown> = {}): unknown[] =>
  Object.entries(record).sort(([a], [b]) => a < b ? -1 : 1);

/** Whether a provider is the one that every session has last, asked for or not. */
const isCpu = (name: string): boolean => name.toLowerCase() === "cpu" || name === "CPUExecutionProvider";

function providersKey(providers: SessionOptions["executionProviders"] = []): unknown[] {
  const named = providers.map((p): [string, unknown[]] =>
    typeof p === "string" ? [p, []] : [p.name, sorted(p.options)]
  );
  return named.filter(([name]) => !isCpu(name));
}

/** Whether no provider but the CPU's may compute. */
export function isCpuOnly({ executionProviders }: SessionOptions): boolean {
  return providersKey(executionProviders).length === 0;
}

/** The same text for options that make the same native session, however it logs; empty for the defaults. */
export function sessionOptionsKey(options: SessionOptions): string {
  const parts: [string, unknown][] = [
    ["intra", options.intraOpNumThreads],
    ["inter", options.interOpNumThreads],
    ["mode", options.executionMode === "parallel" ? "parallel" : undefined],
    ["level", options.graphOptimizationLevel === "all" ? undefined : options.graphOptimizationLevel],
    ["dims", options.freeDimensionOverrides && sorted(options.freeDimensionOverrides)],
    ["providers", providersKey(options.executionProviders)],
    ["arena", options.enableCpuMemArena === false ? false : undefined],
    ["shrink", options.shrinkArena],
    ["share", options.shareWeights === "auto" ? undefined : options.shareWeights],
    ["profile", options.enableProfiling || undefined],
    ["extra", options.extra && sorted(options.extra)],
  ];
  const given = parts.filter(([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0));
  return given.length === 0 ? "" : JSON.stringify(given);
}
