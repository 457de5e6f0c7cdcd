import { ffi, type Pointer } from "../../ffi/mod.ts";
import { processBlock } from "../../ffi/process/shared.ts";

/** What DLPack calls its capsules, by the form of what they hold, and when somebody has taken that. */
const NAMES = {
  unversioned: "dltensor",
  usedUnversioned: "used_dltensor",
  versioned: "dltensor_versioned",
  usedVersioned: "used_dltensor_versioned",
} as const;
const STEP = 64;

let pointers: { readonly [N in keyof typeof NAMES]: Pointer } | undefined;

/** The names of DLPack's capsules, where they stay: a capsule may outlive the thread that named it. */
export function capsuleNames(): { readonly [N in keyof typeof NAMES]: Pointer } {
  if (pointers !== undefined) return pointers;
  const keys = Object.keys(NAMES) as (keyof typeof NAMES)[];
  const { address } = processBlock("capsule names", keys.length * STEP, (memory) => {
    const bytes = new Uint8Array(ffi.view(memory.pointer, memory.byteLength)), encoder = new TextEncoder();
    keys.forEach((key, i) => bytes.set(encoder.encode(NAMES[key]), i * STEP)); // zeros follow each
  });
  const found = keys.map((key, i) => [key, ffi.pointer(address + BigInt(i * STEP))]);
  return pointers = Object.fromEntries(found);
}
