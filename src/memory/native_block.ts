import { ffi, type Pointer } from "../../ffi/mod.ts";

/** What native memory is, and how it ends. An owner may not refer to the tensor, or that would never be collected. */
export interface NativeOwner {
  /** Where it starts. */
  readonly pointer: Pointer;
  /** A pointer that costs less, some bytes before. */
  readonly base: Pointer;
  /** How many bytes before. */
  readonly byteOffset: number;
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

/** Windows start at multiples of it, and are twice as long: whatever is no longer lies in one of them. */
const WINDOW_STEP = 2 ** 31;

/** Native memory and the ArrayBuffers over it, which it outlives. */
export class NativeBlock {
  attachment: Disposable | undefined = undefined;
  readonly #owner: NativeOwner;
  /** Held, not weakly: at the end it must still be there to show whether somebody transferred it. */
  #whole: ArrayBuffer | undefined = undefined;
  /** Held as well, by their first byte: few, as each is large. */
  #windows: Map<number, ArrayBuffer> | undefined = undefined;
  /** Buffers that are still to be collected before the memory can go. */
  #awaited = 0;
  /** Those of them that were not detached, and still may be. */
  #left: readonly WeakRef<ArrayBuffer>[] = [];
  #vacated = false;
  #ended = false;
  /** Called when the memory is let go. */
  onEnd: (() => void) | undefined = undefined;

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
    const { base, byteLength, byteOffset } = this.#owner;
    return this.#whole ??= ffi.view(base, byteLength, byteOffset);
  }

  /** A buffer over a part of it and more, and where the part starts in it. */
  window(byteOffset: number, byteLength: number): { readonly buffer: ArrayBuffer; readonly byteOffset: number } {
    const fits = byteLength <= WINDOW_STEP, start = fits ? byteOffset - byteOffset % WINDOW_STEP : byteOffset;
    const length = fits ? Math.min(2 * WINDOW_STEP, this.byteLength - start) : byteLength;
    const found = (this.#windows ??= new Map()).get(start);
    if (found !== undefined && found.byteLength >= length) return { buffer: found, byteOffset: byteOffset - start };
    const buffer = ffi.view(this.#owner.base, length, this.#owner.byteOffset + start);
    this.#windows.set(found === undefined ? start : -this.#windows.size, buffer);
    return { buffer, byteOffset: byteOffset - start };
  }

  /**
   * Detaches every buffer over it and gives the memory back, its addresses once those buffers were collected. After
   * {@linkcode NativeBlock.drop}, the buffers that are left.
   */
  dispose(): void {
    this.#end(true);
  }

  /** Gives the memory back once every buffer over it was collected. */
  drop(): void {
    this.#end(false);
  }

  #end(disposed: boolean): void {
    if (this.#ended || this.#vacated) return;
    this.attachment?.[Symbol.dispose]();
    this.attachment = undefined;
    const left = this.#left.map((ref) => ref.deref());
    const buffers = [this.#whole, ...this.#windows?.values() ?? [], ...left].filter((buffer) => buffer !== undefined);
    this.#whole = this.#windows = undefined;
    if (buffers.some((buffer) => buffer.detached)) return this.#let(() => this.#owner.abandon(disposed));
    const detached = disposed && buffers.map(detach).every(Boolean);
    if (buffers.length === 0 || (detached && !this.#owner.vacate(buffers))) {
      return this.#let(() => this.#owner.release());
    }
    this.#vacated = detached;
    if (detached) this.#tell();
    else this.#left = buffers.map((buffer) => new WeakRef(buffer));
    const fresh = buffers.filter((buffer) => !left.includes(buffer));
    this.#awaited += fresh.length;
    for (const buffer of fresh) NativeBlock.#buffers.register(buffer, this);
  }

  #collected(): void {
    if (--this.#awaited === 0) this.#let(() => this.#owner.release());
  }

  /** Lets the memory go, once. */
  #let(go: () => void): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#left = [];
    go();
    this.#tell();
  }

  #tell(): void {
    this.onEnd?.();
    this.onEnd = undefined;
  }

  static readonly #buffers = new FinalizationRegistry<NativeBlock>((block) => block.#collected());
}

function detach(buffer: ArrayBuffer): boolean {
  buffer.transfer(0);
  return buffer.detached; // Bun silently leaves it attached while the system reads from it or writes to it
}
