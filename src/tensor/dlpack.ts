import { callDeleter, readManagedTensor } from "../../ffi/dlpack.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { collectReturned } from "../../ffi/process/loans.ts";
import { disposedError, typeError } from "../errors.ts";
import { Handle } from "../handle.ts";
import { lendManagedTensor } from "./lending.ts";
import { adoptManagedTensor } from "./managed_tensor.ts";
import { isTensor, type Tensor } from "./tensor.ts";

/** How a {@linkcode DLPackTensor} is written. */
export interface DLPackOptions {
  /**
   * `true`, the default: a `DLManagedTensorVersioned`, of DLPack 1.0 and later; `false`: a `DLManagedTensor`, which
   * older libraries know, and which cannot say that it is read-only.
   */
  versioned?: boolean;
}

/** What a {@linkcode DLPackTensor} owns until somebody has taken it; when this thread ends, its deleter is called. */
class Struct {
  #pointer: Pointer | null;
  readonly #deleter: Pointer | null;
  readonly #handle: Handle | undefined;

  constructor(address: bigint, versioned: boolean) {
    const pointer = this.#pointer = ffi.pointer(address)!, { deleter } = readManagedTensor(pointer, versioned);
    this.#deleter = deleter;
    if (deleter) this.#handle = new Handle("dlpack", pointer, { release: deleter, foreign: true });
  }

  /** `null` once it was taken. */
  take(): Pointer | null {
    const pointer = this.#pointer;
    this.#pointer = null;
    this.#handle?.take();
    return pointer;
  }

  giveBack(): void {
    const pointer = this.take();
    if (pointer && this.#deleter) callDeleter(this.#deleter, pointer);
    if (pointer) collectReturned();
  }
}

const dropped = new FinalizationRegistry<Struct>((struct) => struct.giveBack());

/**
 * A tensor on its way between this library and another native one, as DLPack has it: the address of a struct, which
 * belongs to whoever takes it.
 *
 * @example
 * ```ts
 * import { DLPackTensor, fromDLPack, Tensor, toDLPack } from "@coload/onnx";
 *
 * using tensor = Tensor.zeros("float32", [2, 3], { storage: "native" });
 * const address = toDLPack(tensor).take(); // to be given to a C function, which calls the struct's deleter in the end
 * using same = fromDLPack(new DLPackTensor(address)); // what a C function gave, taken in
 * tensor.data[0] = 7;
 * console.log(same.data); // Float32Array [ 7, 0, 0, 0, 0, 0 ]
 * ```
 */
export class DLPackTensor implements Disposable {
  /** Whether it is a `DLManagedTensorVersioned`, and not a `DLManagedTensor`. */
  readonly versioned: boolean;
  readonly #struct: Struct;

  /**
   * Owns what another library gave, until somebody takes it.
   *
   * @param address of the struct, which must be alive
   * @throws {TypeError} INVALID_ARGUMENT for what is no address
   */
  constructor(address: bigint, options: DLPackOptions = {}) {
    if (typeof address !== "bigint" || address <= 0n || address >= 2n ** 64n) {
      const found = typeof address === "bigint" ? address : typeof address;
      throw typeError("INVALID_ARGUMENT", `Cannot take a DLPack tensor: an address as a bigint wanted, ${found} found`);
    }
    this.versioned = options?.versioned ?? true;
    this.#struct = new Struct(address, this.versioned);
    dropped.register(this, this.#struct, this.#struct);
  }

  /**
   * The struct's address, which is the caller's from now on: to call its deleter once, or to give it to who does.
   *
   * @throws {ReferenceError} DISPOSED when it was taken before
   */
  take(): bigint {
    const pointer = this.#struct.take();
    if (pointer === null) throw disposedError("a DLPack tensor that was taken");
    dropped.unregister(this.#struct);
    return ffi.address(pointer);
  }

  /** Calls the struct's deleter, unless somebody has taken it. */
  [Symbol.dispose](): void {
    dropped.unregister(this.#struct);
    this.#struct.giveBack();
  }
}

/**
 * Lends a tensor to other native libraries, as DLPack has it. Shares the memory of native and shared tensors, which
 * stays until the struct's deleter is called, on any thread, also when the tensor is disposed or this thread ends;
 * copies heap tensors once. What nobody takes is to be disposed of.
 *
 * @throws {TypeError} INVALID_DTYPE for strings; READ_ONLY for a read-only tensor without version; TENSOR_BUSY while a
 * run writes it; UNSUPPORTED where the system forbids executable memory
 * @throws {ReferenceError} DISPOSED
 * @throws {MemoryError} OUT_OF_MEMORY
 *
 * @example
 * ```ts
 * import { Tensor, toDLPack } from "@coload/onnx";
 *
 * using tensor = Tensor.zeros("float32", [1, 512], { storage: "native" });
 * using lent = toDLPack(tensor, { versioned: false });
 * console.log(lent.versioned); // false
 * ```
 */
export function toDLPack(tensor: Tensor, options: DLPackOptions = {}): DLPackTensor {
  if (!isTensor(tensor)) {
    throw typeError("INVALID_ARGUMENT", `Cannot lend as DLPack: a Tensor wanted, ${typeof tensor} found`);
  }
  const versioned = options?.versioned ?? true;
  return new DLPackTensor(lendManagedTensor(tensor, versioned, "lend tensor as DLPack").loan.contentAddress, {
    versioned,
  });
}

/**
 * Takes a tensor of another native library, as DLPack has it. Copies nothing: one sees what the other writes. Owns the
 * struct, whose deleter is called when the tensor is disposed, or here where this throws.
 *
 * @throws {TypeError} INVALID_DTYPE for complex numbers, vectors and what else is no dtype; INVALID_LAYOUT for strides
 * below 0 or elements that are not aligned; UNSUPPORTED for memory that is not the CPU's, or another major version
 * @throws {RangeError} INVALID_SHAPE
 * @throws {ReferenceError} DISPOSED when it was taken before
 *
 * @example
 * ```ts
 * import { fromDLPack, Tensor, toDLPack } from "@coload/onnx";
 *
 * using tensor = Tensor.zeros("int64", [4], { storage: "native" });
 * using same = fromDLPack(toDLPack(tensor));
 * same.as("int64").data[3] = 5n;
 * console.log(tensor.data[3]); // 5n
 * ```
 */
export function fromDLPack(given: DLPackTensor): Tensor {
  if (!(given instanceof DLPackTensor)) {
    throw typeError("INVALID_ARGUMENT", `Cannot take a DLPack tensor: a DLPackTensor wanted, ${typeof given} found`);
  }
  return adoptManagedTensor(ffi.pointer(given.take())!, given.versioned, "take a DLPack tensor");
}
