import { ffi, type Pointer } from "../../ffi/mod.ts";
import { LEDGER, note, strike } from "../../ffi/process/ledger.ts";
import { pythonFunction } from "../../ffi/python.ts";
import type { Interpreter } from "./interpreter.ts";

/** How what is held is let go, within the lock. */
export type Release = "Py_DecRef" | "PyBuffer_Release";

const addresses = new Map<Release, bigint>();

function addressOf(release: Release): bigint {
  let address = addresses.get(release);
  if (address === undefined) addresses.set(release, address = pythonFunction(release));
  return address;
}

/** Something of Python's that is held until it is let go once, or this thread ends. It knows nothing of who holds it. */
export class Held<T extends Pointer = Pointer> {
  readonly python: Interpreter;
  readonly #release: Release;
  readonly #note: number | undefined;
  #pointer: T | undefined;

  constructor(python: Interpreter, pointer: T, release: Release = "Py_DecRef") {
    const { withGil } = python;
    this.python = python;
    this.#pointer = pointer;
    this.#release = release;
    if (withGil !== undefined) this.#note = note(withGil, ffi.address(pointer), addressOf(release), LEDGER.callFirst);
  }

  /** `undefined` once it was let go. */
  get pointer(): T | undefined {
    return this.#pointer;
  }

  /** Lets it go. Whether it was held until now. */
  release(): boolean {
    const pointer = this.#take();
    if (pointer === undefined) return false;
    this.python.locked(() => this.python.api[this.#release](pointer));
    return true;
  }

  /** Never lets it go: nobody can know who uses it. */
  abandon(): void {
    this.#take();
  }

  #take(): T | undefined {
    const pointer = this.#pointer;
    if (pointer === undefined) return undefined;
    this.#pointer = undefined;
    if (this.#note !== undefined) strike(this.#note);
    return pointer;
  }
}
