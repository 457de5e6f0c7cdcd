import { cstring } from "../../ffi/cstring.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { ort } from "./environment.ts";
import { count, pointerIn, scratch } from "./scratch.ts";
import { check } from "./status.ts";

/** What a model says of itself. */
export interface ModelMetadata {
  /** The program that wrote it, such as `pytorch`. */
  readonly producer: string;
  /** Its graph's name. */
  readonly graphName: string;
  /** Its namespace, such as `com.example`. */
  readonly domain: string;
  /** Its description. */
  readonly description: string;
  /** Its graph's description. */
  readonly graphDescription: string;
  /** Its version. */
  readonly version: bigint;
  /** Its own keys and values. */
  readonly custom: Readonly<Record<string, string>>;
}

const DOING = "read the model's metadata";

/** Reads and frees the C string that a call left in the scratch cell. */
function takeString(status: Pointer | null): string {
  const { api, allocator } = ort();
  check(status, DOING);
  const text = pointerIn();
  if (text === null) return "";
  const result = ffi.string(text);
  check(api.AllocatorFree(allocator, text), DOING);
  return result;
}

function customMetadata(metadata: Pointer): Record<string, string> {
  const { api, allocator } = ort(), { a, b } = scratch();
  check(api.ModelMetadataGetCustomMetadataMapKeys(metadata, allocator, a, b), DOING);
  const keys = pointerIn(0), length = count(1), custom: Record<string, string> = Object.create(null);
  if (keys === null) return custom;
  for (const address of new BigUint64Array(ffi.view(keys, length * 8)).slice()) {
    const pointer = ffi.pointer(address)!, key = ffi.string(pointer);
    custom[key] = takeString(api.ModelMetadataLookupCustomMetadataMap(metadata, allocator, cstring(key), a));
    check(api.AllocatorFree(allocator, pointer), DOING);
  }
  check(api.AllocatorFree(allocator, keys), DOING);
  return custom;
}

/** Reads a session's metadata. */
export function readModelMetadata(session: Pointer): ModelMetadata {
  const { api, allocator } = ort(), { a } = scratch();
  check(api.SessionGetModelMetadata(session, a), DOING);
  const metadata = pointerIn()!;
  try {
    return Object.freeze({
      producer: takeString(api.ModelMetadataGetProducerName(metadata, allocator, a)),
      graphName: takeString(api.ModelMetadataGetGraphName(metadata, allocator, a)),
      domain: takeString(api.ModelMetadataGetDomain(metadata, allocator, a)),
      description: takeString(api.ModelMetadataGetDescription(metadata, allocator, a)),
      graphDescription: takeString(api.ModelMetadataGetGraphDescription(metadata, allocator, a)),
      version: (check(api.ModelMetadataGetVersion(metadata, a), DOING), BigInt.asIntN(64, scratch().words[0]!)),
      custom: Object.freeze(customMetadata(metadata)),
    });
  } finally {
    api.ReleaseModelMetadata(metadata);
  }
}
