/**
 * Zeroed native memory for tensors, aligned to 64 bytes: whole pages where it is large, the C library's heap where it
 * is small.
 *
 * @module
 */
import { errno, functionPointer, libc, strerror } from "./libc.ts";
import { ffi, type Pointer, type Symbols } from "./mod.ts";
import { mapMemory, PROT, unmapMemory } from "./native_memory.ts";
import { callNative } from "./process/calls.ts";
import { ensureThreads } from "./process/pool.ts";

const SIGNATURES = {
  aligned_alloc: { parameters: ["usize", "usize"], result: "pointer" }, // void *(size_t alignment, size_t size)
  memset: { parameters: ["pointer", "i32", "usize"], result: "pointer" }, // (void *to, int byte, size_t n)
  free: { parameters: ["pointer"], result: "void" }, // (void *)
} as const;

const ALIGNMENT = 64, MAP_FROM = 65536, UNMAP_APART_FROM = 64 << 20;
const MAP_PRIVATE = 2, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MAP_NORESERVE = 0x4000;

let symbols: Symbols<typeof SIGNATURES> | undefined;
let munmap: Pointer | undefined;
let free: Pointer | undefined;

const heap = (): Symbols<typeof SIGNATURES> => symbols ??= ffi.open("libc.so.6", SIGNATURES);

/** Memory, and the call of C that gives it back: `release(pointer, releaseArgument)`. */
export interface Allocation {
  readonly pointer: Pointer;
  readonly byteLength: number;
  readonly release: Pointer;
  readonly releaseArgument: bigint;
}

/** Allocates zeroed memory. Large memory is mapped, and costs nothing until it is touched. @throws {Error} when there is none left. */
export function allocate(byteLength: number): Allocation {
  if (byteLength >= MAP_FROM) {
    const { pointer } = mapMemory(byteLength);
    munmap ??= functionPointer("munmap");
    return { pointer, byteLength, release: munmap, releaseArgument: BigInt(byteLength) };
  }
  const size = BigInt(Math.max(1, Math.ceil(byteLength / ALIGNMENT)) * ALIGNMENT);
  const pointer = heap().aligned_alloc(BigInt(ALIGNMENT), size);
  if (pointer === null) throw new Error(`cannot allocate ${byteLength} bytes: ${strerror(errno())}`);
  heap().memset(pointer, 0, size);
  free ??= functionPointer("free");
  return { pointer, byteLength, release: free, releaseArgument: 0n };
}

/** Gives memory back that nothing can reach any more. Where that takes milliseconds, another thread does it. */
export function release(allocation: Allocation): void {
  const { pointer, byteLength } = allocation;
  if (byteLength < MAP_FROM) heap().free(pointer);
  else if (byteLength < UNMAP_APART_FROM || !unmapApart(allocation)) {
    unmapMemory({ pointer, address: ffi.address(pointer), byteLength });
  }
}

function unmapApart({ pointer, release, releaseArgument }: Allocation): boolean {
  try {
    ensureThreads("release", 1);
  } catch {
    return false; // no executable memory here, so no threads either
  }
  void callNative("release", release, [ffi.address(pointer), releaseArgument]);
  return true;
}

/** Gives back what memory holds but keeps its addresses, so that whoever still reaches them finds zeros. Small memory stays as it is. */
export function vacate({ pointer, byteLength }: Allocation): void {
  if (byteLength < MAP_FROM) return;
  const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE;
  libc().mmap(pointer, BigInt(byteLength), PROT.READ | PROT.WRITE, flags, -1, 0n);
}
