import { touchPath } from "../../ffi/file_tree.ts";
import type { LoadSource } from "../ort/native_load.ts";
import type { NativeSessionOptions } from "../ort/session_options.ts";
import type { WeightsCache } from "./cache.ts";
import { difference, keyFields, keyOf, type Platform, platform, type SharingMode } from "./key.ts";
import { checkFiles, type Copy, readCopy, usedPath } from "./manifest.ts";
import { digestSource, knownContent, type SourceContent } from "./source.ts";

/** What a load looks for. */
export interface Wanted {
  readonly cache: WeightsCache;
  readonly source: LoadSource;
  readonly byteLength: number;
  readonly options: NativeSessionOptions;
  readonly signal?: AbortSignal | undefined;
  /** Hears how many bytes were read. */
  readonly onBytes?: (byteLength: number) => void;
}

/** A copy that can be loaded, or why there is none. */
export type Found = { readonly copy: Copy } | { readonly why: string };

const NOTHING = "no copy is prepared: `coload prepare` makes one";

const MAPPED = '`shareWeights: "mapped"` loads a mapped copy that is there, which computes slower';

/** What can be read of all copies in the cache. */
export function readableCopies(cache: WeightsCache): Copy[] {
  return cache.keys().flatMap((key) => {
    try {
      return readCopy(cache, key) ?? [];
    } catch {
      return [];
    }
  });
}

/** Why a copy of this model is there, and not for here. */
function whyNone(copies: readonly Copy[], content: SourceContent, here: Platform): string {
  const ofModel = copies.filter(({ manifest: { fields } }) =>
    fields.source.model === content.model && JSON.stringify(fields.source) === JSON.stringify(content)
  );
  if (ofModel.length === 0) return NOTHING;
  const apart = difference(ofModel[0]!.manifest.fields, here);
  return apart === undefined
    ? "a copy is prepared, for other session options"
    : `a copy is prepared, but ${apart}: \`coload prepare\` makes one for here`;
}

/**
 * Why no copy of a model needs to be looked for: there is none in the cache, or none that was made of as many bytes, and
 * what is in the model is not known. `undefined` where there may be one.
 *
 * @throws {SystemError} CACHE_FORBIDDEN, CACHE_UNUSABLE
 */
export function whyNotSought(
  { cache, source, byteLength }: Pick<Wanted, "cache" | "source" | "byteLength">,
): string | undefined {
  const keys = cache.keys();
  if (keys.length === 0) return NOTHING;
  if ("path" in source && knownContent(source.path, cache) !== undefined) return undefined;
  return readableCopies(cache).some(({ manifest }) => manifest.source.byteLength === byteLength) ? undefined : NOTHING;
}

/**
 * Looks for a copy of a model that is as fast as the model: a prepacked one. A mapped one is for those who ask for it.
 * A model whose files nobody has touched since it was read is not read again.
 *
 * @throws {SystemError} CACHE_FORBIDDEN, CACHE_UNUSABLE, COPY_DAMAGED, MODEL_CHANGED
 */
export async function find({ cache, source, options, signal, onBytes }: Wanted): Promise<Found> {
  const { content } = await digestSource(source, { cache, signal, onBytes }), here = await platform({ cache, signal });
  const keyIn = (mode: SharingMode): string => keyOf(keyFields(mode, content, options, here));
  const copy = readCopy(cache, keyIn("prepacked")), refused = copy?.manifest.refused;
  if (copy !== undefined && refused === undefined) {
    await checkFiles(copy, { cache, signal, onBytes });
    return { copy };
  }
  const copies = readableCopies(cache), mapped = keyIn("mapped");
  const isMapped = copies.some(({ key, manifest }) => key === mapped && manifest.refused === undefined);
  return { why: isMapped ? `${refused ?? "none is prepacked"}; ${MAPPED}` : refused ?? whyNone(copies, content, here) };
}

/** Notes that a copy was used, for those who clean up by age. */
export function noteUse({ directory }: Copy): void {
  touchPath(usedPath(directory));
}
