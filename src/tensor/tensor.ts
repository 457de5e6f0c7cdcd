import { rangeError, typeError } from "../errors.ts";
import { decodeTensor, encodeTensor } from "./bytes.ts";
import {
  checkDType,
  type DType,
  type DTypeOf,
  elementByteLength,
  type NumericArray,
  type NumericDType,
} from "./dtype.ts";
import { gather } from "./gather.ts";
import { heapStorage } from "./heap_storage.ts";
import { copyShape, elementCount, isRowMajor, showShape } from "./shape.ts";
import { openShared, SharedStorage } from "./shared_storage.ts";
import type { Storage } from "./storage.ts";
import { isTensorBase, type Layout, shapeOf, storageOf, stridesOf, TensorBase } from "./tensor_base.ts";
import type { TensorRef } from "./tensor_ref.ts";
import { borrowArray, dtypeOfArray, holdsBitsOf, notAnArray } from "./typed_arrays.ts";
import { convertValues } from "./values.ts";
import { zeroedStorage } from "./zeroed_storage.ts";

/** Makes a tensor over a storage; checks nothing. The shape must be frozen. */
export let makeTensor: <D extends DType>(
  dtype: D,
  shape: readonly number[],
  storage: Storage,
  layout?: Layout,
) => Tensor<D>;

/** Whether a value is a tensor of this copy of the library. */
export function isTensor(value: unknown): value is Tensor {
  return isTensorBase(value);
}

/**
 * An array of numbers, booleans or strings with a dtype and a shape.
 *
 * It lies in the JavaScript heap, where the garbage collector sees to it, or in native memory, which a run uses without
 * a copy, or in shared memory, which other processes see as well: both are given back by
 * {@linkcode Tensor.[Symbol.dispose]}.
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
export class Tensor<D extends DType = DType> extends TensorBase<D> {
  private constructor(dtype: D, shape: readonly number[], frozen: boolean, storage: Storage, layout?: Layout) {
    super(dtype, shape, frozen, storage, layout);
  }

  static {
    makeTensor = (dtype, shape, storage, layout) => new Tensor(dtype, shape, true, storage, layout);
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

  /**
   * Opens another process's tensor in shared memory, or one of this process's own. Copies nothing: one sees what is
   * written into the other. This thread holds the memory until the tensor is disposed; the last to let go frees it.
   *
   * @param ref a {@linkcode TensorRef}, its JSON, or what `formatTensorRef` made of it. All it says is checked
   * @param options `readOnly`: see what others write, while a write here touches nobody's memory
   * @throws {TypeError} INVALID_REFERENCE when it is none; INVALID_DTYPE; INVALID_SHAPE; INVALID_LAYOUT for negative strides
   * @throws {RangeError} OUT_OF_RANGE when it leads out of the memory it names, or is misaligned; INVALID_SHAPE
   * @throws {ReferenceError} STALE_REFERENCE when the memory was freed, or is used for something else
   * @throws {NativeError} REGION_FORBIDDEN, REGION_INVALID, REGION_FULL, REGION_UNREACHABLE, SYSTEM
   *
   * @example
   * ```ts
   * import { SharedMemoryAllocator, Tensor } from "@coload/onnx";
   *
   * using allocator = new SharedMemoryAllocator();
   * using frame = allocator.tensor("uint8", [720, 1280, 3]);
   * const message = JSON.stringify(frame.ref); // goes to another process, which says:
   * using seen = Tensor.open(message).as("uint8");
   * frame.data[0] = 7;
   * console.log(seen.data[0]); // 7
   * ```
   */
  static open(ref: TensorRef | string, options: { readOnly?: boolean } = {}): Tensor {
    const { dtype, shape, storage, layout } = openShared(ref, options?.readOnly ?? false);
    const tensor = new Tensor(dtype, shape, false, storage, layout);
    storage.watch(tensor);
    return tensor;
  }

  /**
   * Reads what {@linkcode Tensor.toBytes} wrote. Borrows the bytes where the elements in them are aligned, as they are
   * from the start of a buffer; else, and for strings, copies them.
   *
   * @throws {TypeError} INVALID_BYTES when they are cut short, longer than they say, or nothing of the kind
   *
   * @example
   * ```ts
   * import { Tensor } from "@coload/onnx";
   *
   * const received = Tensor.from([0.5, 1], [2], "float32").toBytes();
   * console.log(Tensor.fromBytes(received).shape); // [ 2 ]
   * ```
   */
  static fromBytes(bytes: Uint8Array<ArrayBuffer>): Tensor {
    const { dtype, shape, data } = decodeTensor(bytes);
    return new Tensor(dtype, shape, false, heapStorage(data));
  }

  /**
   * This tensor, known to be of a dtype. Copies nothing.
   *
   * @throws {TypeError} INVALID_DTYPE when it is of another
   */
  as<E extends DType>(dtype: E): Tensor<E> {
    if ((this.dtype as DType) === dtype) return this as unknown as Tensor<E>;
    throw typeError("INVALID_DTYPE", `Cannot view tensor as ${String(dtype)}: its dtype is ${this.dtype}`);
  }

  /**
   * This tensor if its elements are in row-major order, else a copy in the heap that is.
   *
   * @throws {ReferenceError} DISPOSED
   */
  contiguous(): Tensor<D> {
    const storage = storageOf(this), strides = stridesOf(this), { dtype, shape } = this;
    storage.checkReadable();
    if (strides === undefined || isRowMajor(shape, strides)) return this;
    return new Tensor(dtype, shape, true, heapStorage(gather(dtype, storage.data(dtype), shape, strides)));
  }

  /**
   * What another process opens this tensor by. It keeps nothing alive: see {@linkcode TensorRef}.
   *
   * @throws {TypeError} NOT_SHARED unless the tensor's storage is "shared"
   * @throws {ReferenceError} DISPOSED
   */
  get ref(): TensorRef {
    const storage = this.#shared("refer to");
    storage.checkReadable();
    return storage.ref(this.dtype, shapeOf(this), stridesOf(this), false);
  }

  /**
   * Moves this thread's hold on the memory into a reference: the tensor is disposed, and the memory stays until the
   * reference is opened, by whoever holds it then, or until its time is over and a sweep frees it. Only one reference
   * to a tensor can be on its way at a time, whoever made it. This process may end meanwhile, unless the memory is a
   * memfd, which is opened through the process that made it.
   *
   * @param options `ttlMs`: how long the reference may be on its way; 30 s by default
   * @throws {TypeError} NOT_SHARED unless the tensor's storage is "shared"; TENSOR_BUSY while a run uses it, or another
   * reference to it is on its way
   * @throws {RangeError} OUT_OF_RANGE for a time that is none
   * @throws {ReferenceError} DISPOSED
   *
   * @example
   * ```ts
   * import { SharedMemoryAllocator, Tensor } from "@coload/onnx";
   *
   * using allocator = new SharedMemoryAllocator();
   * const ref = allocator.tensor("float32", [1024]).handOff({ ttlMs: 5000 });
   * using adopted = Tensor.open(ref); // in any process
   * console.log(adopted.size); // 1024
   * ```
   */
  handOff(options: { ttlMs?: number } = {}): TensorRef {
    const storage = this.#shared("hand off"), ttlMs = options?.ttlMs ?? 30_000;
    if (!Number.isFinite(ttlMs) || ttlMs < 0) {
      throw rangeError("OUT_OF_RANGE", `Cannot hand off tensor: a ttlMs from 0 up wanted, ${ttlMs} found`);
    }
    const ref = storage.ref(this.dtype, shapeOf(this), stridesOf(this), true);
    storage.send(Math.min(Date.now() + ttlMs, Number.MAX_SAFE_INTEGER));
    return ref;
  }

  /**
   * This tensor as bytes, for where memory cannot be shared. Copies it. `BYTES.md` beside the source says what lies
   * where; `tensorByteLength` tells from the first of them how many there are.
   *
   * @throws {ReferenceError} DISPOSED
   * @throws {TypeError} TENSOR_BUSY while a run writes it; INVALID_SHAPE beyond 255 dimensions
   * @throws {RangeError} OUT_OF_RANGE beyond what one buffer of the runtime holds
   * @throws {MemoryError} OUT_OF_MEMORY
   *
   * @example
   * ```ts
   * import { Tensor } from "@coload/onnx";
   *
   * const bytes = Tensor.from([1n, 2n], [2], "int64").toBytes(); // over any wire
   * console.log(Tensor.fromBytes(bytes).data); // BigInt64Array [ 1n, 2n ]
   * ```
   */
  toBytes(): Uint8Array<ArrayBuffer> {
    return encodeTensor(this.dtype, shapeOf(this), this.contiguous().data);
  }

  #shared(doing: string): SharedStorage {
    const storage = storageOf(this);
    if (storage instanceof SharedStorage) return storage;
    throw typeError(
      "NOT_SHARED",
      `Cannot ${doing} tensor: one in shared memory wanted, a ${storage.kind} tensor found; an allocator's share() copies it there`,
    );
  }
}
