import { functionPointer, libc } from "../../ffi/libc.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { MemoryError } from "../errors.ts";
import { Handle } from "../handle.ts";

/** Alignment of every block, in bytes: a cache line, and the widest vector register. */
export const ALIGNMENT = 64;

let freePointer: Pointer | undefined;

/**
 * A piece of native memory for Coload's own use, which this thread owns. No view of it ever reaches a user, so
 * releasing it needs no care for stale ones.
 */
export class Block {
  readonly pointer: Pointer;
  readonly address: bigint;
  readonly byteLength: number;
  /** The memory itself. */
  readonly buffer: ArrayBuffer;
  readonly #handle: Handle;

  /** @throws {MemoryError} OUT_OF_MEMORY */
  constructor(byteLength: number) {
    const rounded = Math.max(1, Math.ceil(byteLength / ALIGNMENT)) * ALIGNMENT;
    const pointer = libc().aligned_alloc(BigInt(ALIGNMENT), BigInt(rounded));
    if (pointer === null) {
      const message = `Cannot allocate ${rounded} bytes of native memory`;
      throw new MemoryError("OUT_OF_MEMORY", message, { neededBytes: rounded });
    }
    this.pointer = pointer;
    this.address = ffi.address(pointer);
    this.byteLength = rounded;
    this.buffer = ffi.view(pointer, rounded);
    this.#handle = new Handle("block", pointer, { release: freePointer ??= functionPointer("free"), last: true });
  }

  /** Frees it. Harmless when repeated. */
  dispose(): void {
    const pointer = this.#handle.take();
    if (pointer !== null) libc().free(pointer);
  }
}
