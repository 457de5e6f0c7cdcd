import { rangeError, typeError } from "../errors.ts";
import {
  checkDType,
  type DataOf,
  type DType,
  type DTypeOf,
  elementByteLength,
  type NumericArray,
  type NumericDType,
} from "./dtype.ts";
import { gather } from "./gather.ts";
import { heapStorage } from "./heap_storage.ts";
import { copyShape, elementCount, isRowMajor, rowMajorStrides, showShape } from "./shape.ts";
import type { Storage, StorageKind } from "./storage.ts";
import { borrowArray, dtypeOfArray, holdsBitsOf, notAnArray } from "./typed_arrays.ts";
import { convertValues } from "./values.ts";
import { zeroedStorage } from "./zeroed_storage.ts";

/** What `makeTensor` takes beside what every tensor has. */
export interface Layout {
  /** Whether nobody may write to it. */
  readonly readOnly?: boolean;
  /** In elements; row-major without. Frozen. */
  readonly strides?: readonly number[];
}

/** What a tensor lies in. */
export let storageOf: (tensor: Tensor) => Storage;
/** A tensor's shape as it is kept: not to be shown to users before it is frozen. */
export let shapeOf: (tensor: Tensor) => readonly number[];
/** A tensor over a storage, unchecked. The shape must be frozen. */
export let makeTensor: <D extends DType>(
  dtype: D,
  shape: readonly number[],
  storage: Storage,
  layout?: Layout,
) => Tensor<D>;
/** Whether a value is a tensor of this copy of the library. */
export let isTensor: (value: unknown) => value is Tensor;

/**
 * An array of numbers, booleans or strings with a dtype and a shape.
 *
 * It lies in the JavaScript heap, where the garbage collector sees to it, or in native memory, which a run uses without
 * a copy and which {@linkcode Tensor.[Symbol.dispose]} gives back.
 *
 * @example
 * ```ts
 * import { Tensor } from "@coload/onnx";
 *
 * const samples = new Float32Array(512);
 * const input = Tensor.from(samples, [1, 512]); // borrows the array
 * samples[0] = 0.5;
 * console.log(input.dtype, input.shape, input.data[0]); // float32 [ 1, 512 ] 0.5
 * ```
 */
export class Tensor<D extends DType = DType> implements Disposable {
  readonly #dtype: D;
  readonly #shape: readonly number[];
  readonly #storage: Storage;
  readonly #layout: Layout | undefined;
  #shapeIsFrozen: boolean;
  #strides: readonly number[] | undefined = undefined;

  private constructor(dtype: D, shape: readonly number[], frozen: boolean, storage: Storage, layout?: Layout) {
    this.#dtype = dtype;
    this.#shape = shape;
    this.#shapeIsFrozen = frozen;
    this.#storage = storage;
    this.#layout = layout;
  }

  static {
    storageOf = (tensor) => tensor.#storage;
    shapeOf = (tensor) => tensor.#shape;
    makeTensor = (dtype, shape, storage, layout) => new Tensor(dtype, shape, true, storage, layout);
    isTensor = (value): value is Tensor => typeof value === "object" && value !== null && #storage in value;
    Object.defineProperty(Tensor.prototype, Symbol.for("nodejs.util.inspect.custom"), {
      value(this: Tensor): string {
        return this.toString();
      },
    });
  }

  /**
   * Makes a tensor of a typed array, which it borrows: one sees what is written into the other. An array over a
   * SharedArrayBuffer, a resizable buffer or another realm's is copied.
   *
   * @param shape the array's length by default
   * @throws {RangeError} INVALID_SHAPE, or INVALID_LENGTH when the shape does not hold the array's length
   *
   * @example
   * ```ts
   * import { Tensor } from "@coload/onnx";
   *
   * console.log(Tensor.from(new Float32Array(6), [2, 3]).strides); // [ 3, 1 ]
   * ```
   */
  static from<A extends NumericArray>(data: A, shape?: readonly number[]): Tensor<DTypeOf<A>>;
  /**
   * Makes a tensor of a dtype. A typed array of it is borrowed, and so are a Uint16Array as the bits of float16 or
   * bfloat16 and a Uint8Array as bool; values of other types are copied and must fit.
   *
   * @throws {TypeError} INVALID_DTYPE when a value is of a type that the dtype cannot hold
   * @throws {RangeError} INVALID_SHAPE; INVALID_LENGTH; OUT_OF_RANGE when a value is fractional, too large or negative
   *
   * @example
   * ```ts
   * import { Tensor } from "@coload/onnx";
   *
   * const rate = Tensor.from([16000], [], "int64"); // a scalar
   * console.log(rate.data[0]); // 16000n
   * ```
   */
  static from<D extends DType>(
    data: NumericArray | readonly (number | bigint | boolean | string)[],
    shape: readonly number[],
    dtype: D,
  ): Tensor<D>;
  static from(
    data: NumericArray | readonly (number | bigint | boolean | string)[],
    shape?: readonly number[],
    dtype?: DType,
  ): Tensor {
    const own = typeof data === "object" && data !== null ? dtypeOfArray(data) : undefined, wanted = dtype ?? own;
    if (wanted === undefined || (own === undefined && !Array.isArray(data))) throw notAnArray(data);
    if (dtype !== undefined) checkDType(dtype);
    const dimensions = shape === undefined ? [data.length] : copyShape(shape);
    const size = elementCount(dimensions, elementByteLength(wanted));
    if (size !== data.length) {
      throw rangeError(
        "INVALID_LENGTH",
        `Cannot make a tensor of shape ${showShape(dimensions)}: ${size} elements wanted, ${data.length} found`,
      );
    }
    const array = own !== undefined && holdsBitsOf(own, wanted)
      ? borrowArray(data as NumericArray, own, wanted as NumericDType)
      : convertValues(data, size, wanted);
    return new Tensor(wanted, dimensions, false, heapStorage(array));
  }

  /**
   * Makes a tensor of zeros (false, empty strings). Native memory costs nothing until it is touched; the caller owns it.
   *
   * @throws {RangeError} INVALID_SHAPE
   * @throws {TypeError} INVALID_DTYPE, also for strings in native memory
   * @throws {MemoryError} OUT_OF_MEMORY
   *
   * @example
   * ```ts
   * import { Tensor } from "@coload/onnx";
   *
   * using state = Tensor.zeros("float32", [2, 1, 128], { storage: "native" });
   * console.log(state.byteLength); // 1024
   * ```
   */
  static zeros<D extends DType>(
    dtype: D,
    shape: readonly number[],
    options: { storage?: "heap" | "native" } = {},
  ): Tensor<D> {
    checkDType(dtype);
    const dimensions = copyShape(shape), size = elementCount(dimensions, elementByteLength(dtype));
    return new Tensor(dtype, dimensions, false, zeroedStorage(dtype, size, options.storage ?? "heap"));
  }

  /** The type of the elements. */
  get dtype(): D {
    return this.#dtype;
  }

  /** The length of each dimension; `[]` for a scalar. */
  get shape(): readonly number[] {
    if (!this.#shapeIsFrozen) {
      Object.freeze(this.#shape);
      this.#shapeIsFrozen = true;
    }
    return this.#shape;
  }

  /** How many elements it is from one to the next along each dimension. */
  get strides(): readonly number[] {
    return this.#strides ??= this.#layout?.strides ?? Object.freeze(rowMajorStrides(this.#shape));
  }

  /** How many elements there are. */
  get size(): number {
    return elementCount(this.#shape);
  }

  /** The bytes of all elements; 0 for strings. */
  get byteLength(): number {
    return elementCount(this.#shape) * elementByteLength(this.#dtype);
  }

  /** Whether nobody may write to it: then it cannot be given as an output. */
  get readOnly(): boolean {
    return this.#layout?.readOnly ?? false;
  }

  /** Whether it was disposed. */
  get disposed(): boolean {
    return this.#storage.disposed;
  }

  /** Where the elements lie. */
  get storage(): StorageKind {
    return this.#storage.kind;
  }

  /**
   * The elements in row-major order, without a copy: the same array at every call.
   *
   * A native tensor's array is emptied when the tensor is disposed. Do not transfer its buffer: the memory behind it
   * is then never given back.
   *
   * @throws {ReferenceError} DISPOSED
   * @throws {TypeError} INVALID_LAYOUT when the elements are not row-major; TENSOR_BUSY while a run writes them
   * @throws {RangeError} OUT_OF_RANGE when a buffer of the runtime cannot hold them: see {@linkcode Tensor.view}
   */
  get data(): DataOf[D] {
    this.#storage.checkReadable();
    if (this.#layout?.strides) this.#checkRowMajor();
    return this.#storage.data(this.#dtype) as DataOf[D];
  }

  /**
   * A window of the elements in row-major order, without a copy (strings are copied): for tensors that are larger than
   * one buffer of the runtime.
   *
   * @param start the first element
   * @param length how many
   * @throws {RangeError} OUT_OF_RANGE when the window does not lie within the tensor
   * @throws {ReferenceError} DISPOSED
   * @throws {TypeError} as {@linkcode Tensor.data}
   */
  view(start: number, length: number): DataOf[D] {
    this.#storage.checkReadable();
    if (this.#layout?.strides) this.#checkRowMajor();
    const inside = Number.isSafeInteger(start) && Number.isSafeInteger(length) && start >= 0 && length >= 0 &&
      start + length <= this.size;
    if (!inside) {
      throw rangeError(
        "OUT_OF_RANGE",
        `Cannot view ${length} elements of tensor from ${start} on: it has ${this.size} elements`,
      );
    }
    return this.#storage.view(this.#dtype, start, length) as DataOf[D];
  }

  /**
   * This tensor, known to be of a dtype. Copies nothing.
   *
   * @throws {TypeError} INVALID_DTYPE when it is of another
   */
  as<E extends DType>(dtype: E): Tensor<E> {
    if ((this.#dtype as DType) === dtype) return this as unknown as Tensor<E>;
    throw typeError("INVALID_DTYPE", `Cannot view tensor as ${String(dtype)}: its dtype is ${this.#dtype}`);
  }

  /**
   * This tensor if its elements are in row-major order, else a copy in the heap that is.
   *
   * @throws {ReferenceError} DISPOSED
   */
  contiguous(): Tensor<D> {
    this.#storage.checkReadable();
    const strides = this.#layout?.strides;
    if (strides === undefined || isRowMajor(this.#shape, strides)) return this;
    const data = gather(this.#dtype, this.#storage.data(this.#dtype), this.#shape, strides);
    return new Tensor(this.#dtype, this.#shape, this.#shapeIsFrozen, heapStorage(data));
  }

  /** Such as `Tensor(float32, [1, 512], heap)`. */
  toString(): string {
    return `Tensor(${this.#dtype}, ${showShape(this.#shape)}, ${this.disposed ? "disposed" : this.storage})`;
  }

  /**
   * Gives native memory back and empties every view of it; while a run uses the tensor, as soon as it no longer does.
   * A heap tensor only lets its array go. Twice is harmless.
   */
  [Symbol.dispose](): void {
    this.#storage.dispose();
  }

  #checkRowMajor(): void {
    if (isRowMajor(this.#shape, this.#layout!.strides!)) return;
    throw typeError(
      "INVALID_LAYOUT",
      `Cannot view tensor of shape ${showShape(this.#shape)}: its strides ${showShape(this.strides)} are not ` +
        "row-major; use contiguous()",
    );
  }
}
