import { functionPointer } from "./libc.ts";
import { ffi } from "./mod.ts";
import { mapMemory, type NativeMemory, unmapMemory } from "./native_memory.ts";
import { LEDGER, note, strike } from "./process/ledger.ts";

/** Native memory that is the system's again as soon as it is disposed of, or this thread ends and all that may use it. */
export class OwnedMemory implements Disposable {
  readonly address: bigint;
  readonly #byteLength: number;
  readonly #memory: NativeMemory;
  readonly #note: number;
  #buffer: ArrayBuffer | undefined;
  #disposed = false;

  /** @throws {SystemFailure} when the system has none left */
  constructor(byteLength: number) {
    this.#memory = mapMemory(byteLength);
    this.address = this.#memory.address;
    this.#byteLength = byteLength;
    const munmap = ffi.address(functionPointer("munmap"));
    this.#note = note(munmap, this.address, BigInt(byteLength), LEDGER.callLast);
  }

  /** The memory itself, of no use once it is disposed of. Made when asked for: runtimes count it as if it were theirs. */
  get buffer(): ArrayBuffer {
    return this.#buffer ??= ffi.view(this.#memory.pointer, this.#byteLength);
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    strike(this.#note);
    unmapMemory(this.#memory);
  }
}
