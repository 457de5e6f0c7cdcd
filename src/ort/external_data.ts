import { dirname, resolve } from "node:path";
import { type FileIdentity, fileIdentity, realPath } from "../../ffi/files.ts";
import { externalLocations } from "./model_scan.ts";

/** The files beside a model that hold its weights. */
export interface ExternalData {
  /** Another once one of them was written to; empty where there are none. */
  readonly key: string;
  readonly byteLength: number;
}

/** Models whose external data a thread remembers. */
const MAX_KNOWN = 16384;

const known = new Map<string, readonly string[]>();
const none: ExternalData = { key: "", byteLength: 0 };

/**
 * The state of a model's external data. The model is read once for each of its own states; after that this costs one
 * look at each file.
 *
 * @param model the model's own state
 */
export function externalData(path: string, model: FileIdentity): ExternalData {
  let locations = known.get(model.key);
  if (locations === undefined) {
    if (known.size >= MAX_KNOWN) known.clear();
    known.set(model.key, locations = externalLocations(path, model.byteLength));
  }
  if (locations.length === 0) return none;
  const folder = dirname(realPath(path) ?? path);
  let key = "", byteLength = 0;
  for (const location of locations) {
    const found = fileIdentity(resolve(folder, location));
    key += "error" in found ? `+${found.error}` : `+${found.key}`;
    if (!("error" in found)) byteLength += found.byteLength;
  }
  return { key, byteLength };
}
