import type { ProgressReport } from "../ort/load_progress.ts";
import type { LoadSource } from "../ort/native_load.ts";
import type { NativeSessionOptions, SessionOptions } from "../ort/session_options.ts";
import { WeightsCache } from "./cache.ts";
import { find, noteUse, whyNotSought } from "./find.ts";
import { formatBytes } from "./format_bytes.ts";
import { type SharingMode, whyNotShareable } from "./key.ts";
import { type Copy, MODEL } from "./manifest.ts";
import { MIN_SHARED_BYTES, type PrepareRequest } from "./making.ts";
import { prepare } from "./prepare.ts";
import { copyOptions } from "./session.ts";

/**
 * Whether a session's weights are the machine's, or its process's alone.
 *
 * @example
 * ```ts
 * import { InferenceSession } from "@coload/onnx";
 *
 * const file = new URL(import.meta.resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx"));
 * await using session = await InferenceSession.create(file); // shareWeights: "auto"
 * const { mode, reason } = session.sharing;
 * console.log(mode, reason); // off, for no copy is prepared; after `coload prepare`: prepacked, 3.23 MB in …
 * ```
 */
export interface Sharing {
  /**
   * `prepacked`: in a file that all processes map, as they are laid out for computing; `mapped`: in such a file as the
   * model has them, which loads at once and computes slower; `off`: in this process alone.
   */
  readonly mode: "off" | SharingMode;
  /** Which file, or why not. */
  readonly reason: string;
}

/** What a session is loaded from. */
export interface SharingPlan {
  readonly source: LoadSource;
  readonly options: NativeSessionOptions;
  readonly sharing: Sharing;
  /** Bytes of weights that other processes with the same copy do not take again. */
  readonly sharedBytes: number;
}

/** A model to load. */
export interface SharingRequest {
  readonly source: LoadSource;
  readonly byteLength: number;
  readonly options: SessionOptions;
  readonly progress: ProgressReport;
}

const off = (source: LoadSource, options: NativeSessionOptions, reason: string): SharingPlan => ({
  source,
  options,
  sharing: { mode: "off", reason },
  sharedBytes: 0,
});

function shared(copy: Copy, options: NativeSessionOptions): SharingPlan {
  const { directory, manifest: { fields: { mode }, sharedBytes } } = copy;
  noteUse(copy);
  return {
    source: { path: `${directory}/${MODEL}` },
    options: copyOptions(options, mode),
    sharing: { mode, reason: `${formatBytes(sharedBytes)} in ${directory}` },
    sharedBytes,
  };
}

/** A copy in this mode, made if need be; where a model cannot be had as it is, prepacked. */
async function prepared(request: Omit<PrepareRequest, "mode">, mode: SharingMode): Promise<SharingPlan> {
  const { copy } = await prepare({ ...request, mode }), { refused } = copy.manifest;
  if (refused === undefined) return shared(copy, request.options);
  if (mode === "prepacked") return off(request.source, request.options, refused);
  const instead = await prepared(request, "prepacked");
  if (instead.sharing.mode === "off") return instead;
  return {
    ...instead,
    sharing: { ...instead.sharing, reason: `not mapped, for ${refused}; ${instead.sharing.reason}` },
  };
}

/** What needs no look at a model's content. */
function decideAtOnce({ source, byteLength, options }: SharingRequest): SharingPlan | undefined {
  const { shareWeights: mode = "auto" } = options;
  if (mode === "off") return off(source, options, 'shareWeights is "off"');
  const why = whyNotShareable(options);
  if (why !== undefined) return off(source, options, why);
  if (mode !== "auto") return undefined;
  if (byteLength < MIN_SHARED_BYTES) return off(source, options, "it is small: sharing pays from 1 MB on");
  const notSought = whyNotSought({ cache: WeightsCache.locate(), source, byteLength });
  return notSought === undefined ? undefined : off(source, options, notSought);
}

async function decide({ source, byteLength, options, progress }: SharingRequest): Promise<SharingPlan> {
  const { shareWeights: mode = "auto", signal } = options, cache = WeightsCache.locate();
  if (mode === "prepacked" || mode === "mapped") {
    const name = "path" in source ? source.path : `of ${byteLength} bytes`;
    return await prepared({ cache, source, name, byteLength, options, signal, progress }, mode);
  }
  let read = 0;
  progress.phase("digest", () => read);
  const found = await find({ cache, source, byteLength, options, signal, onBytes: (count) => read += count });
  return "copy" in found ? shared(found.copy, options) : off(source, options, found.why);
}

/**
 * What goes wrong with sharing is why it is off, whatever it is: a load fails for nothing but its model and what it is
 * asked for, and loading the model itself tells that.
 */
function failed({ source, options }: SharingRequest, error: unknown): SharingPlan {
  options.signal?.throwIfAborted();
  return off(source, options, error instanceof Error ? error.message : `${error}`);
}

/**
 * Decides what a session is loaded from, where that takes no work: the model itself. `undefined` where it takes
 * {@linkcode planSharing}.
 */
export function planAtOnce(request: SharingRequest): SharingPlan | undefined {
  try {
    return decideAtOnce(request);
  } catch (error) {
    return failed(request, error);
  }
}

/**
 * Decides what a session is loaded from: a copy whose weights all processes share, prepared now if the options ask for
 * it, or the model itself.
 *
 * @throws the signal's reason, when it aborts
 */
export async function planSharing(request: SharingRequest): Promise<SharingPlan> {
  try {
    return await decide(request);
  } catch (error) {
    return failed(request, error);
  }
}

/** What to load when a copy could not be: the model itself. */
export function withoutSharing({ source, options }: SharingRequest, error: unknown): SharingPlan {
  return off(source, options, `the prepared copy could not be loaded: ${(error as Error).message}`);
}
