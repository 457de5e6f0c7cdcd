/**
 * Zeroed native memory, aligned to 64 bytes: whole pages where it is large, the C library's heap where it is small.
 *
 * @module
 */
import { errno, functionPointer, libc, strerror } from "./libc.ts";
import { ffi, type Pointer, type Symbols } from "./mod.ts";
import { mapMemory, unmapMemory } from "./native_memory.ts";
import { callNative } from "./process/calls.ts";
import { ensureThreads } from "./process/pool.ts";

const SIGNATURES = {
  memset: { parameters: ["pointer", "i32", "usize"], result: "pointer" }, // (void *to, int byte, size_t n)
} as const;

const ALIGNMENT = 64, MAP_FROM = 65536, MADV_DONTNEED = 4;
/** From here on giving pages back takes milliseconds, which an event loop should not spend. */
const APART_FROM = 64 << 20;

let symbols: Symbols<typeof SIGNATURES> | undefined;
const functions = new Map<string, Pointer>();

function pointerTo(name: string): Pointer {
  let pointer = functions.get(name);
  if (pointer === undefined) functions.set(name, pointer = functionPointer(name));
  return pointer;
}

/** Calls a function on a native thread, or says that there are none: they need executable memory. */
function callApart(name: string, args: readonly bigint[]): Promise<bigint> | undefined {
  try {
    ensureThreads("release", 1);
  } catch {
    return undefined;
  }
  return callNative("release", pointerTo(name), args);
}

/** Zeroed memory, to be freed once. */
export class Allocation {
  readonly pointer: Pointer;
  readonly address: bigint;
  readonly byteLength: number;
  #vacated: Promise<bigint> | boolean = false;

  /** Mapped memory costs nothing until it is touched. @throws {Error} with the system's words when there is none left. */
  constructor(byteLength: number) {
    this.byteLength = byteLength;
    this.pointer = byteLength >= MAP_FROM ? mapMemory(byteLength).pointer : fromHeap(byteLength);
    this.address = ffi.address(this.pointer);
  }

  /** Whether it is whole pages. */
  get mapped(): boolean {
    return this.byteLength >= MAP_FROM;
  }

  /** The C function that frees it, and its second argument: for when this thread ends without having done so. */
  get release(): readonly [fn: bigint, argument: bigint] {
    return [ffi.address(pointerTo(this.mapped ? "munmap" : "free")), this.mapped ? BigInt(this.byteLength) : 0n];
  }

  /** Gives back what mapped memory holds, but not its addresses: whoever still reaches them finds zeros. */
  vacate(): void {
    const args = [this.address, BigInt(this.byteLength), BigInt(MADV_DONTNEED)];
    this.#vacated = (this.byteLength >= APART_FROM && callApart("madvise", args)) || true;
    if (this.#vacated === true) libc().madvise(this.pointer, BigInt(this.byteLength), MADV_DONTNEED);
  }

  /** Frees it, large memory on another thread. Nothing may reach it. */
  free(): void {
    if (!this.mapped) libc().free(this.pointer);
    else if (typeof this.#vacated === "object") void this.#vacated.then(() => unmapMemory(this));
    else if (this.#vacated || this.byteLength < APART_FROM) unmapMemory(this);
    else if (!callApart("munmap", [this.address, BigInt(this.byteLength)])) unmapMemory(this);
  }
}

function fromHeap(byteLength: number): Pointer {
  const size = BigInt(Math.max(1, Math.ceil(byteLength / ALIGNMENT)) * ALIGNMENT);
  const pointer = libc().aligned_alloc(BigInt(ALIGNMENT), size);
  if (pointer === null) throw new Error(`cannot allocate ${byteLength} bytes: ${strerror(errno())}`);
  symbols ??= ffi.open("libc.so.6", SIGNATURES);
  symbols.memset(pointer, 0, size);
  return pointer;
}
