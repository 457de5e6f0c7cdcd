import { libc } from "./libc.ts";
import { ffi, type Pointer } from "./mod.ts";
import { SystemFailure } from "./system_failure.ts";

/** `mmap` and `mprotect` protections. */
export const PROT = { READ: 1, WRITE: 2, EXEC: 4 } as const;
const MAP_PRIVATE = 2, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MAP_NORESERVE = 0x4000, NO_FILE = 2n ** 64n - 1n;
/** `(void *)-1` lies above it, as no address of a process does. */
const MAP_FAILED = 2n ** 63n;

/** Zeroed native memory: an anonymous mapping of whole pages, which cost nothing until they are touched. */
export interface NativeMemory {
  readonly pointer: Pointer;
  readonly address: bigint;
  readonly byteLength: number;
}

/** Maps zeroed native memory. @throws {Error} with the system's words when it has none left. */
export function mapMemory(byteLength: number): NativeMemory {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  const pointer = libc().mmap(null, BigInt(byteLength), PROT.READ | PROT.WRITE, flags, -1, 0n);
  const address = ffi.address(pointer);
  if (pointer === null || address >= MAP_FAILED) {
    throw new SystemFailure(`map ${byteLength} bytes`);
  }
  return { pointer, address, byteLength };
}

/** Gives a mapping back. No view of it may be used again. */
export function unmapMemory(memory: NativeMemory): void {
  libc().munmap(memory.pointer, BigInt(memory.byteLength));
}

/** The pointer some bytes into native memory. */
export function offset(memory: { readonly address: bigint }, byteOffset: number): Pointer {
  return ffi.pointer(memory.address + BigInt(byteOffset))!;
}

/** Arguments for `mmap` to put zeros in place of whatever is mapped there, which cost nothing until they are touched. */
export function vacatingArguments(address: bigint, byteLength: bigint): readonly bigint[] {
  const flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  return [address, byteLength, BigInt(PROT.READ | PROT.WRITE), BigInt(flags), NO_FILE, 0n];
}

const MADV_POPULATE_WRITE = 23, PAGE = 4096n;

/** Whether the system lets memory be written, by its first page; `false` where it does not tell, as before Linux 5.14. */
export function isWritable(address: bigint): boolean {
  return libc().madvise(ffi.pointer(address / PAGE * PAGE), PAGE, MADV_POPULATE_WRITE) === 0;
}
