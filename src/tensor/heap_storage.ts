import { typeError } from "../errors.ts";
import { arrayOf, type DType, type NumericConstructor, type NumericData, type NumericDType } from "./dtype.ts";
import { type Data, Storage } from "./storage.ts";

const SLAB_BYTE_LENGTH = 16384, ALIGNMENT = 64, OWN_ARRAY_FROM = 2048, LOOP_UP_TO = 16;

/** The part of a slab of small outputs that is still free. A slab's array is never shown to anybody. */
interface Slab {
  array: NumericData;
  used: number;
}

const slabs = new Map<NumericConstructor, Slab>();

/** Elements in the JavaScript heap: the array that was lent, or a place in a slab until somebody asks for an array. */
export class HeapStorage extends Storage {
  override readonly kind = "heap";
  override readonly byteLength: number;
  override attachment: Disposable | undefined = undefined;
  readonly #length: number;
  /** The tensor's array, or the slab it lies in. */
  #array: Data | undefined;
  /** Where it starts in the slab, in elements; -1 where `#array` is its own. */
  #at: number;

  constructor(array: Data, at: number, length: number, byteLength: number) {
    super();
    this.byteLength = byteLength;
    this.#length = length;
    this.#array = array;
    this.#at = at;
  }

  override data(): Data {
    if (this.#at >= 0) {
      this.#array = (this.#array as NumericData).slice(this.#at, this.#at + this.#length) as NumericData;
      this.#at = -1;
    }
    return this.#array!;
  }

  override view(dtype: DType, start: number, length: number): Data {
    const array = this.data();
    return dtype === "string"
      ? (array as string[]).slice(start, start + length)
      : (array as NumericData).subarray(start, start + length);
  }

  override check(): void {
    if (this.#at < 0 && this.#array!.length !== this.#length) {
      throw typeError(
        "TENSOR_DETACHED",
        `Cannot use tensor: its array had ${this.#length} elements and has ${this.#array!.length}, ` +
          "because its buffer was transferred or resized",
      );
    }
  }

  /** Copies the elements into an array of the dtype's own type and of their number, such as a view of native memory. */
  copyTo(target: NumericData): void {
    const array = this.#array as NumericData, start = Math.max(0, this.#at);
    if (this.#length <= LOOP_UP_TO) { for (let i = 0; i < this.#length; i++) target[i] = array[start + i]!; }
    else {(target as Float32Array).set(
        (this.#at < 0 ? array : array.subarray(start, start + this.#length)) as Float32Array,
      );}
  }

  /** The reverse of {@linkcode HeapStorage.copyTo}. */
  copyFrom(source: NumericData): void {
    const array = this.#array as NumericData, start = Math.max(0, this.#at);
    if (this.#length <= LOOP_UP_TO) { for (let i = 0; i < this.#length; i++) array[start + i] = source[i]!; }
    else (array as Float32Array).set(source as Float32Array, start);
  }

  protected override free(): void {
    this.attachment?.[Symbol.dispose]();
    this.attachment = undefined;
    this.#array = undefined;
    this.#at = -1;
  }
}

/** A storage that borrows an array: a numeric one over a plain buffer of this realm, or strings. */
export function heapStorage(array: Data): HeapStorage {
  return new HeapStorage(array, -1, array.length, (array as NumericData).byteLength ?? 0);
}

/**
 * A storage that copies an array of the dtype's own type, such as a view of native memory. Small ones are put into a
 * slab, because a buffer of its own costs Deno 650 ns, and most outputs of state are never looked at.
 */
export function copiedHeapStorage(dtype: NumericDType, source: NumericData): HeapStorage {
  const { byteLength, length } = source;
  if (byteLength > OWN_ARRAY_FROM) return new HeapStorage(source.slice() as NumericData, -1, length, byteLength);
  const constructor = arrayOf(dtype), bytesPerElement = constructor.BYTES_PER_ELEMENT;
  let slab = slabs.get(constructor);
  if (slab === undefined || (slab.used + length) * bytesPerElement > SLAB_BYTE_LENGTH) {
    slab = { array: new constructor(SLAB_BYTE_LENGTH / bytesPerElement), used: 0 };
    slabs.set(constructor, slab);
  }
  const { array, used } = slab, step = ALIGNMENT / bytesPerElement;
  if (length <= LOOP_UP_TO) { for (let i = 0; i < length; i++) array[used + i] = source[i]!; }
  else (array as Float32Array).set(source as Float32Array, used);
  slab.used = used + Math.ceil(length / step) * step;
  return new HeapStorage(array, used, length, byteLength);
}
