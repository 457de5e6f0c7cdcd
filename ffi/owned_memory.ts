import { functionPointer } from "./libc.ts";
import { ffi } from "./mod.ts";
import { mapMemory, type NativeMemory, unmapMemory } from "./native_memory.ts";
import { LEDGER, note, strike } from "./process/ledger.ts";

/** Native memory that is the system's again as soon as it is disposed of, or this thread ends and all that may use it. */
export class OwnedMemory implements Disposable {
  readonly address: bigint;
  /** The memory itself, of no use once it is disposed of. */
  readonly buffer: ArrayBuffer;
  readonly #memory: NativeMemory;
  readonly #note: number;
  #disposed = false;

  /** @throws {SystemFailure} when the system has none left */
  constructor(byteLength: number) {
    this.#memory = mapMemory(byteLength);
    this.address = this.#memory.address;
    this.buffer = ffi.view(this.#memory.pointer, byteLength);
    const munmap = ffi.address(functionPointer("munmap"));
    this.#note = note(munmap, this.address, BigInt(byteLength), LEDGER.callLast);
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    strike(this.#note);
    unmapMemory(this.#memory);
  }
}
