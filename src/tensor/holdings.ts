import { disposedError, typeError } from "../errors.ts";
import type { Arenas } from "../memory/arenas.ts";
import type { Quota } from "../memory/quota.ts";
import { checkDType, type DType, elementByteLength } from "./dtype.ts";
import { copyElements } from "./native_copy.ts";
import { copyShape, elementCount } from "./shape.ts";
import { SharedStorage } from "./shared_storage.ts";
import { isTensor, makeTensor, Tensor } from "./tensor.ts";
import { storageOf } from "./tensor_base.ts";
import { checkTensorRef, type TensorRef } from "./tensor_ref.ts";

/** Shared tensors that are disposed together, and the quota that they count for. */
export class Holdings {
  readonly #arenas: Arenas;
  readonly quota: Quota;
  readonly #storages: Set<SharedStorage> = new Set();
  #disposed = false;

  constructor(arenas: Arenas, quota: Quota) {
    this.#arenas = arenas;
    this.quota = quota;
  }

  /** Whether it was disposed. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** A new tensor, of whatever was in its memory before. */
  tensor<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    checkDType(dtype);
    const elementBytes = elementByteLength(dtype), dimensions = Object.freeze(copyShape(shape));
    if (elementBytes === 0) {
      throw typeError("INVALID_DTYPE", `Cannot make a shared tensor of ${dtype}: they lie in the heap only`);
    }
    return this.#allocate(dtype, dimensions, elementCount(dimensions, elementBytes) * elementBytes);
  }

  #allocate<D extends DType>(dtype: D, shape: readonly number[], byteLength: number): Tensor<D> {
    if (this.#disposed) throw disposedError(this.quota.label);
    const storage = new SharedStorage(this.#arenas.allocate(byteLength, this.quota), false);
    return this.#keep(makeTensor(dtype, shape, storage), storage);
  }

  #keep<T extends Tensor>(tensor: T, storage: SharedStorage): T {
    this.#storages.add(storage);
    storage.onEnd(() => this.#storages.delete(storage));
    storage.watch(tensor);
    return tensor;
  }

  /** A copy of a tensor, row-major. */
  share<D extends DType>(given: Tensor<D>): Tensor<D> {
    if (!isTensor(given)) throw typeError("INVALID_ARGUMENT", `Cannot share: a Tensor wanted, ${typeof given} found`);
    storageOf(given).checkReadable();
    const tensor = given.contiguous();
    storageOf(tensor).check();
    const shared = this.tensor(tensor.dtype, tensor.shape);
    copyElements(tensor, storageOf(shared) as SharedStorage);
    return shared;
  }

  /** Opens a reference to a tensor that counts for the same quota. */
  open(ref: TensorRef | string, options: { readonly readOnly?: boolean }): Tensor {
    if (this.#disposed) throw disposedError(this.quota.label);
    const checked = checkTensorRef(ref);
    if (!this.#arenas.isOf(checked.region, checked.generation, this.quota)) {
      throw typeError(
        "FOREIGN_REFERENCE",
        `Cannot open a tensor reference in ${this.quota.label}: it made no such tensor`,
      );
    }
    const tensor = Tensor.open(checked, options);
    return this.#keep(tensor, storageOf(tensor) as SharedStorage);
  }

  /** Disposes of all tensors. What other processes hold stays until they let it go. */
  dispose(): void {
    this.#disposed = true;
    for (const storage of [...this.#storages]) storage.end();
  }
}
