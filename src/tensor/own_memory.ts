import { Allocation } from "../../ffi/allocator.ts";
import type { Pointer } from "../../ffi/mod.ts";
import { note, strike } from "../../ffi/process/ledger.ts";
import { MemoryError } from "../errors.ts";
import { countHandle } from "../handle.ts";
import type { NativeOwner } from "../memory/native_block.ts";

/** Bytes of small memory that may wait for the collector at once: it does not run within a loop that never yields. */
const MAX_WAITING = 32 << 20;
let waiting = 0;

function allocateOrThrow(byteLength: number): Allocation {
  try {
    return new Allocation(byteLength);
  } catch (cause) {
    const message = `Cannot make a native tensor of ${byteLength} bytes: ${(cause as Error).message}`;
    throw new MemoryError("OUT_OF_MEMORY", message, { cause, neededBytes: byteLength });
  }
}

/** Native memory of this thread's own, counted, and freed when the thread ends without having done so. */
export class OwnMemory implements NativeOwner {
  readonly allocation: Allocation;
  readonly #note: number;
  #counted = true;
  #waits = false;

  /** @throws {MemoryError} OUT_OF_MEMORY */
  constructor(byteLength: number) {
    this.allocation = allocateOrThrow(byteLength);
    const [fn, argument] = this.allocation.release;
    this.#note = note(fn, this.allocation.address, argument);
    countHandle("tensor", 1);
  }

  get pointer(): Pointer {
    return this.allocation.pointer;
  }

  get base(): Pointer {
    return this.allocation.pointer;
  }

  get byteOffset(): number {
    return 0;
  }

  get byteLength(): number {
    return this.allocation.byteLength;
  }

  vacate(): boolean {
    const { mapped, byteLength } = this.allocation;
    if (!mapped && waiting + byteLength > MAX_WAITING) return false;
    if (mapped) this.allocation.vacate();
    else waiting += byteLength;
    this.#waits = !mapped;
    this.#uncount();
    return true;
  }

  release(): void {
    if (this.#waits) waiting -= this.allocation.byteLength;
    this.#uncount();
    strike(this.#note);
    this.allocation.free();
  }

  abandon(disposed: boolean): void {
    this.#uncount();
    strike(this.#note);
    countHandle("abandoned tensor", 1);
    if (disposed && this.allocation.mapped) this.allocation.vacate();
  }

  #uncount(): void {
    if (this.#counted) countHandle("tensor", -1);
    this.#counted = false;
  }
}
