import { ffi, type Pointer } from "../../ffi/mod.ts";

/** How native memory ends: by one of the two, once. Neither may refer to the tensor, or it would never be collected. */
export interface NativeOwner {
  /** Gives the memory back: nothing in JavaScript can reach it. */
  release(): void;
  /**
   * Never gives the memory back: a buffer over it was transferred, and nobody can know who reads it.
   *
   * @param disposed whether the tensor was disposed, and not only dropped
   */
  abandon(disposed: boolean): void;
}

/** Native memory and the ArrayBuffers over it, which it outlives. */
export class NativeBlock {
  readonly pointer: Pointer;
  readonly byteLength: number;
  attachment: Disposable | undefined = undefined;
  readonly #owner: NativeOwner;
  /** Held, not weakly: at the end it must still be there to show whether somebody transferred it. */
  #whole: ArrayBuffer | undefined = undefined;
  #windows: Set<WeakRef<ArrayBuffer>> | undefined = undefined;
  /** Buffers that are still to be collected before the memory can go. */
  #awaited = 0;

  constructor(pointer: Pointer, byteLength: number, owner: NativeOwner) {
    this.pointer = pointer;
    this.byteLength = byteLength;
    this.#owner = owner;
  }

  /** The buffer of all of it, if it was made. */
  get madeWhole(): ArrayBuffer | undefined {
    return this.#whole;
  }

  /** The buffer of all of it. @throws {RangeError} beyond what one buffer of the runtime holds. */
  whole(): ArrayBuffer {
    return this.#whole ??= ffi.view(this.pointer, this.byteLength);
  }

  /** A new buffer over a part of it. */
  window(byteOffset: number, byteLength: number): ArrayBuffer {
    const pointer = ffi.pointer(ffi.address(this.pointer) + BigInt(byteOffset))!;
    const buffer = ffi.view(pointer, byteLength), ref = new WeakRef(buffer);
    (this.#windows ??= new Set()).add(ref);
    collectedWindows.register(buffer, { windows: this.#windows, ref });
    return buffer;
  }

  /** Detaches every buffer over it, then gives the memory back. */
  dispose(): void {
    this.#end(true);
  }

  /** Gives the memory back once every buffer over it was collected. */
  drop(): void {
    this.#end(false);
  }

  #end(disposed: boolean): void {
    this.attachment?.[Symbol.dispose]();
    this.attachment = undefined;
    const windows = [...this.#windows ?? []].map((ref) => ref.deref());
    const buffers = [this.#whole, ...windows].filter((buffer) => buffer !== undefined);
    this.#whole = this.#windows = undefined;
    if (buffers.some((buffer) => buffer.detached)) this.#awaited = Infinity;
    for (const buffer of buffers) {
      if (buffer.detached || (disposed && detach(buffer))) continue;
      this.#awaited++;
      NativeBlock.#buffers.register(buffer, this);
    }
    if (this.#awaited === Infinity) this.#owner.abandon(disposed);
    else if (this.#awaited === 0) this.#owner.release();
  }

  #collected(): void {
    if (--this.#awaited === 0) this.#owner.release();
  }

  static readonly #buffers = new FinalizationRegistry<NativeBlock>((block) => block.#collected());
}

function detach(buffer: ArrayBuffer): boolean {
  buffer.transfer(0);
  return buffer.detached; // Bun silently leaves it attached while the system reads from it or writes to it
}

const collectedWindows = new FinalizationRegistry<
  { readonly windows: Set<WeakRef<ArrayBuffer>>; readonly ref: WeakRef<ArrayBuffer> }
>(({ windows, ref }) => windows.delete(ref));
