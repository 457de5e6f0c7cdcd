import { ffi, type Pointer } from "../../ffi/mod.ts";

/** What native memory is, and how it ends. An owner may not refer to the tensor, or that would never be collected. */
export interface NativeOwner {
  /** Where it starts. */
  readonly pointer: Pointer;
  readonly byteLength: number;
  /**
   * Gives back what the memory holds but not its addresses, or returns `false` when it cannot. Its buffers are
   * detached, but an operation of the system that began before may go on using it: Deno's do.
   */
  vacate(buffers: readonly ArrayBuffer[]): boolean;
  /** Gives the memory back. Called once. */
  release(): void;
  /**
   * Called instead of `release` when nobody can know who reads the memory, as a buffer over it was transferred.
   *
   * @param disposed whether the tensor was disposed, and not only dropped
   */
  abandon(disposed: boolean): void;
}

/** Native memory and the ArrayBuffers over it, which it outlives. */
export class NativeBlock {
  attachment: Disposable | undefined = undefined;
  readonly #owner: NativeOwner;
  /** Held, not weakly: at the end it must still be there to show whether somebody transferred it. */
  #whole: ArrayBuffer | undefined = undefined;
  #windows: Set<WeakRef<ArrayBuffer>> | undefined = undefined;
  /** Buffers that are still to be collected before the memory can go. */
  #awaited = 0;

  constructor(owner: NativeOwner) {
    this.#owner = owner;
  }

  /** Where it starts. */
  get pointer(): Pointer {
    return this.#owner.pointer;
  }

  get byteLength(): number {
    return this.#owner.byteLength;
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

  /** Detaches every buffer over it and gives the memory back, its addresses once those buffers were collected. */
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
    if (buffers.some((buffer) => buffer.detached)) return this.#owner.abandon(disposed);
    const detached = disposed && buffers.map(detach).every(Boolean);
    if (buffers.length === 0 || (detached && !this.#owner.vacate(buffers))) return this.#owner.release();
    this.#awaited = buffers.length;
    for (const buffer of buffers) NativeBlock.#buffers.register(buffer, this);
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
