import { createHash } from "node:crypto";
import { ffi } from "../../ffi/mod.ts";
import { ort } from "../ort/environment.ts";
import { isCpuOnly, type NativeSessionOptions } from "../ort/session_options.ts";
import { digestOf, type DigestOptions } from "./digests.ts";
import { type Processor, processor } from "./machine.ts";
import type { SourceContent } from "./source.ts";

/** How a copy is made. Another number for everything that would make other bytes of the same model. */
export const RECIPE = 1;

/**
 * How weights are shared: `prepacked` as laid out for computing, `mapped` as they are.
 */
export type SharingMode = "prepacked" | "mapped";

/** All that decides what is in a copy, and whether it may be used. */
export interface KeyFields {
  readonly recipe: number;
  readonly mode: SharingMode;
  readonly source: SourceContent;
  readonly library: { readonly version: string; readonly build: string; readonly digest: string };
  readonly processor: Processor;
  readonly providers: readonly string[];
  readonly options: {
    readonly level: string;
    readonly dimensions: readonly (readonly [string, number])[];
    readonly extra: readonly (readonly [string, string])[];
  };
}

/** What is the same for every copy that this process can use. */
export type Platform = Pick<KeyFields, "library" | "processor">;

/** What the kernel does not tell of is unlike any other. */
const UNKNOWN_PROCESSOR: Processor = { architecture: "unknown", model: "", features: [] };

/** Entries of the configuration that are about threads, and leave the graph and the weights as they are. */
const ABOUT_THREADS = /^session\.(?:intra_op|inter_op|force_spinning)/;
/** Entries that a copy is made with, or that contradict how it is loaded. */
const ABOUT_WEIGHTS =
  /^session\.(?:disable_prepacking|save_|optimized_model_|load_model_format|use_ort_model|use_memory_mapped|model_external_|use_device_allocator_for_initializers)/;

const sorted = <T>(record: Readonly<Record<string, T>> = {}): [string, T][] =>
  Object.entries(record).sort(([a], [b]) => a < b ? -1 : 1);

/** Why a session with these options cannot share its weights, if it cannot. */
export function whyNotShareable(options: NativeSessionOptions): string | undefined {
  if (!isCpuOnly(options)) return "weights are shared on the CPU alone, and another execution provider was asked for";
  const entry = Object.keys(options.extra ?? {}).find((key) => ABOUT_WEIGHTS.test(key));
  if (entry !== undefined) return `extra "${entry}" says how weights are to be kept`;
  if (processor() === undefined) return "the system does not tell what the processor can do";
  return undefined;
}

/** This onnxruntime and this processor. */
export async function platform(options: DigestOptions): Promise<Platform> {
  const { api, version, path } = ort(), build = ffi.string(api.GetBuildInfoString()!);
  const { digest } = await digestOf(path, { cache: options.cache, signal: options.signal });
  return { library: { version, build, digest }, processor: processor() ?? UNKNOWN_PROCESSOR };
}

/** What a copy of a model for a session with these options is made of. */
export function keyFields(
  mode: SharingMode,
  source: SourceContent,
  options: NativeSessionOptions,
  platform: Platform,
): KeyFields {
  return {
    recipe: RECIPE,
    mode,
    source,
    ...platform,
    providers: ["CPUExecutionProvider"],
    options: {
      level: options.graphOptimizationLevel ?? "all",
      dimensions: sorted(options.freeDimensionOverrides),
      extra: sorted(options.extra).filter(([key]) => !ABOUT_THREADS.test(key)),
    },
  };
}

/** The name of a copy: the SHA-256 of what it is made of. */
export function keyOf(fields: KeyFields): string {
  const { recipe, mode, source, library, processor, providers, options } = fields;
  const parts = [
    recipe,
    mode,
    [source.model, source.external],
    [library.version, library.build, library.digest],
    [processor.architecture, processor.model, processor.features],
    providers,
    [options.level, options.dimensions, options.extra],
  ];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

/** What sets a copy apart from one that this process could use, for people; `undefined` when nothing does. */
export function difference(found: KeyFields, wanted: Platform): string | undefined {
  const { library, processor } = wanted;
  if (found.recipe > RECIPE) return "made by a newer Coload";
  if (found.recipe < RECIPE) return "made by an older Coload";
  if (found.library.version !== library.version) {
    return `made with onnxruntime ${found.library.version}, not ${library.version}`;
  }
  if (found.library.digest !== library.digest || found.library.build !== library.build) {
    return `made with another build of onnxruntime ${library.version}`;
  }
  if (found.processor.architecture !== processor.architecture) return `made on ${found.processor.architecture}`;
  const missing = found.processor.features.filter((name) => !processor.features.includes(name));
  const more = processor.features.filter((name) => !found.processor.features.includes(name));
  if (missing.length > 0) return `made on a processor with ${some(missing)}, which this one is without`;
  if (more.length > 0) return `made on a processor without ${some(more)}, which this one has`;
  if (found.processor.model !== processor.model) return "made on a processor of another model";
  return undefined;
}

const some = (names: readonly string[]): string =>
  names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more features` : names.join(", ");
