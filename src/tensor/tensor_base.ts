import { rangeError, typeError } from "../errors.ts";
import { type DataOf, type DType, elementByteLength } from "./dtype.ts";
import { elementCount, isRowMajor, rowMajorStrides, showShape } from "./shape.ts";
import type { Storage, StorageKind } from "./storage.ts";

/** How a tensor's elements lie, beside what every tensor has. */
export interface Layout {
  /** Whether nobody may write to it. */
  readonly readOnly?: boolean;
  /** In elements; row-major without. Frozen. */
  readonly strides?: readonly number[];
}

/** What a tensor lies in. */
export let storageOf: (tensor: TensorBase) => Storage;
/** A tensor's shape as it is kept: not to be shown to users before it is frozen. */
export let shapeOf: (tensor: TensorBase) => readonly number[];
/** A tensor's strides where they are not row-major. */
export let stridesOf: (tensor: TensorBase) => readonly number[] | undefined;
/** Whether a value is a tensor of this copy of the library. */
export let isTensorBase: (value: unknown) => value is TensorBase;

/** What {@linkcode Tensor} lets one look at: dtype, shape, elements. Every tensor is a {@linkcode Tensor}. */
export abstract class TensorBase<D extends DType = DType> implements Disposable {
  readonly #dtype: D;
  readonly #shape: readonly number[];
  readonly #storage: Storage;
  readonly #layout: Layout | undefined;
  #shapeIsFrozen: boolean;
  #strides: readonly number[] | undefined = undefined;

  /** Made by {@linkcode Tensor} alone. */
  protected constructor(dtype: D, shape: readonly number[], frozen: boolean, storage: Storage, layout?: Layout) {
    this.#dtype = dtype;
    this.#shape = shape;
    this.#shapeIsFrozen = frozen;
    this.#storage = storage;
    this.#layout = layout;
  }

  static {
    storageOf = (tensor) => tensor.#storage;
    shapeOf = (tensor) => tensor.#shape;
    stridesOf = (tensor) => tensor.#layout?.strides;
    isTensorBase = (value): value is TensorBase => typeof value === "object" && value !== null && #storage in value;
    Object.defineProperty(TensorBase.prototype, Symbol.for("nodejs.util.inspect.custom"), {
      value(this: TensorBase): string {
        return this.toString();
      },
    });
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
   * The array of a native or shared tensor is emptied when the tensor is disposed. What the runtime reads into it or
   * writes from it asynchronously must be over by then: the memory may be another tensor's soon. Do not transfer its
   * buffer: the memory behind it is then never given back.
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

  /** Such as `Tensor(float32, [1, 512], heap)`. */
  toString(): string {
    return `Tensor(${this.#dtype}, ${showShape(this.#shape)}, ${this.disposed ? "disposed" : this.storage})`;
  }

  /**
   * Empties every view of a native or shared tensor and gives its memory back, shared memory when nobody else holds
   * it; while a run or a foreign library uses it, as soon as that is over. A heap tensor only lets its array go. Twice
   * is harmless.
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
