import { closeDescriptor } from "./descriptors.ts";
import { functionPointer } from "./libc.ts";
import { ffi } from "./mod.ts";
import { LEDGER, note, strike } from "./process/ledger.ts";

let close: bigint | undefined;

/** A descriptor that is closed when this thread ends without having done so, after all that may use it. */
export class OwnedDescriptor implements Disposable {
  readonly fd: number;
  readonly #note: number;
  #closed = false;

  /** @param fd from here on this object's alone to close */
  constructor(fd: number) {
    this.fd = fd;
    close ??= ffi.address(functionPointer("close"));
    this.#note = note(close, BigInt(fd), 0n, LEDGER.callLast);
  }

  /** Gives it up to the caller, whose it is to close from here on. */
  take(): number {
    if (!this.#closed) strike(this.#note);
    this.#closed = true;
    return this.fd;
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    strike(this.#note); // first: a thread that ends between the two leaks a descriptor, and never closes another's
    closeDescriptor(this.fd);
  }
}
