import { cstring } from "../../ffi/cstring.ts";
import { functionPointer, libc } from "../../ffi/libc.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { ort } from "./environment.ts";

const M_TRIM_THRESHOLD = -1, M_MMAP_THRESHOLD = -3;
/** Blocks from here on are the system's again once they are freed: as much as glibc allows, so that heaps are used again. */
const MMAP_THRESHOLD = 32 << 20, TRIM_THRESHOLD = 2 * MMAP_THRESHOLD;
/** The least that makes glibc look at the end of a heap when it is freed. */
const LOOKED_AT = 1 << 17;

let releasing = 0;
let trimming: Promise<unknown> | undefined;

/** Gives memory that C has freed back to the system, off the event loop; once for all who ask meanwhile. */
export function trimMemory(): Promise<unknown> {
  return trimming ??= callNative("release", functionPointer("malloc_trim"), [0n]).finally(() => trimming = undefined);
}

/**
 * Gives back what the `map` lane's heap keeps at its end: there `malloc_trim` leaves all but the main heap alone, and so
 * the largest weights' worth of garbage stays. A block of that heap, freed while little may be kept, has it looked at.
 */
export async function trimMapLane(): Promise<void> {
  const mallopt = glibcMallopt();
  if (mallopt === undefined) return;
  const block = ffi.pointer(await callNative("map", functionPointer("malloc"), [BigInt(LOOKED_AT)]));
  mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD); // or the next line would keep it at what it happens to be
  mallopt(M_TRIM_THRESHOLD, LOOKED_AT);
  libc().free(block);
  mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD);
}

/** `int mallopt(int parameter, int value)`; `undefined` where the C library has none. */
function glibcMallopt(): ((parameter: number, value: number) => number) | undefined {
  const pointer = libc().dlsym(null, cstring("mallopt"));
  return pointer === null ? undefined : ffi.bind(pointer, { parameters: ["i32", "i32"], result: "i32" });
}

/** Releases a native session off the event loop, and gives what it held back to the system. */
export async function releaseSession(pointer: Pointer): Promise<void> {
  releasing++;
  try {
    await callNative("release", ort().address("ReleaseSession"), [ffi.address(pointer)]);
  } finally {
    releasing--;
  }
  if (releasing > 0) return; // the last of many trims for all
  await trimming; // one that began before has not seen this session's memory
  await trimMemory();
}
