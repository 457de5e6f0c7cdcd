import { ffi } from "../../ffi/mod.ts";
import { exclusively, processBlock } from "../../ffi/process/shared.ts";
import { rangeError, typeError } from "../errors.ts";

/** What holds for the whole process: every Worker, every session. */
export interface Configuration {
  /** Path of the onnxruntime library, instead of the one that would be found. */
  library?: string;
  /** Threads of the one pool that all sessions compute on, the calling one counted. Default: the machine's cores. */
  threads?: number;
  /** Runs that may compute at once, over all sessions; more wait their turn. Default: the machine's cores, at least 2. */
  maxConcurrentRuns?: number;
  /** Whether idle threads of the pool burn CPU to answer sooner. Default: `false`. */
  allowSpinning?: boolean;
  /** Directory for what Coload keeps on disk. Default: `coload` in the user's cache directory. */
  cacheDir?: string;
}

/** A configuration with its defaults. */
export type EffectiveConfiguration = Required<Omit<Configuration, "library" | "cacheDir">> & Configuration;

const BLOCK_BYTE_LENGTH = 16384, HEADER = 8;
const INTEGERS = ["threads", "maxConcurrentRuns"] as const, STRINGS = ["library", "cacheDir"] as const;

function validated(options: Configuration): Configuration {
  if (typeof options !== "object" || options === null) {
    throw typeError("INVALID_ARGUMENT", `Cannot configure with ${String(options)}: an object of options wanted`);
  }
  const known = [...INTEGERS, ...STRINGS, "allowSpinning"] as readonly string[];
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown) {
    throw typeError("INVALID_ARGUMENT", `Cannot configure "${unknown}": the options are ${known.join(", ")}`);
  }
  for (const key of INTEGERS) {
    const value = options[key];
    if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= 1024)) continue;
    throw rangeError("OUT_OF_RANGE", `Cannot configure ${key}: 1 to 1024 wanted, ${String(value)} found`);
  }
  for (const key of STRINGS) {
    const value: unknown = options[key];
    if (value === undefined || (typeof value === "string" && value !== "")) continue;
    throw typeError("INVALID_ARGUMENT", `Cannot configure ${key}: a path wanted, ${JSON.stringify(value)} found`);
  }
  if (options.allowSpinning !== undefined && typeof options.allowSpinning !== "boolean") {
    const found = String(options.allowSpinning);
    throw typeError("INVALID_ARGUMENT", `Cannot configure allowSpinning: a boolean wanted, ${found} found`);
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** Stores the configuration if there is none, and returns the one that holds. */
function settle(options: Configuration): EffectiveConfiguration {
  const bytes = new Uint8Array(ffi.view(processBlock("configuration", BLOCK_BYTE_LENGTH).pointer, BLOCK_BYTE_LENGTH));
  const length = new Uint32Array(bytes.buffer, 0, 1);
  return exclusively(() => {
    if (length[0] === 0) {
      const cores = navigator.hardwareConcurrency;
      const effective = { threads: cores, maxConcurrentRuns: Math.max(2, cores), allowSpinning: false, ...options };
      const text = new TextEncoder().encode(JSON.stringify(effective));
      const most = BLOCK_BYTE_LENGTH - HEADER;
      if (text.length > most) {
        const message = `Cannot configure: at most ${most} bytes of options wanted, ${text.length} found`;
        throw rangeError("OUT_OF_RANGE", message);
      }
      bytes.set(text, HEADER);
      length[0] = text.length;
    }
    return JSON.parse(new TextDecoder().decode(bytes.slice(HEADER, HEADER + length[0]!)));
  });
}

/**
 * Sets what holds for the whole process, once, before anything is loaded.
 *
 * @throws {TypeError} with code `ALREADY_CONFIGURED` when the process was configured otherwise, or used before;
 * `INVALID_ARGUMENT` for an option that is unknown or of a wrong type.
 * @throws {RangeError} with code `OUT_OF_RANGE` when a count is not a whole number from 1 to 1024, or a path too long.
 *
 * @example
 * ```ts
 * import { configure } from "@coload/onnx";
 *
 * configure({ threads: navigator.hardwareConcurrency, allowSpinning: false });
 * configure({ allowSpinning: false }); // the same again is harmless
 * ```
 */
export function configure(options: Configuration): void {
  const effective = settle(validated(options)) as unknown as Record<string, unknown>;
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || effective[key] === value) continue;
    const found = JSON.stringify(effective[key]) ?? "the default";
    throw typeError(
      "ALREADY_CONFIGURED",
      `Cannot configure ${key} as ${
        JSON.stringify(value)
      }: this process has ${found}, from an earlier call or first use`,
    );
  }
}

/** The configuration that holds; asking for it settles it. */
export function configuration(): EffectiveConfiguration {
  return settle({});
}
