import type { DType } from "./dtype.ts";
import type { Holdings } from "./holdings.ts";
import type { Tensor } from "./tensor.ts";
import type { TensorRef } from "./tensor_ref.ts";

/** Makes a scope. For the allocator. */
export let makeScope: (holdings: Holdings, onDispose: () => void) => MemoryScope;

/**
 * A session's part of an allocator's memory, with a quota of its own. Disposing it disposes all its tensors.
 *
 * @example
 * ```ts
 * import { SharedMemoryAllocator } from "@coload/onnx";
 *
 * using allocator = new SharedMemoryAllocator();
 * {
 *   using session = allocator.scope({ maxBytes: 1 << 20, label: "client 7" });
 *   session.tensor("float32", [256]);
 *   console.log(session.bytesInUse); // 1024
 * }
 * console.log(allocator.metrics().bytesInUse); // 0
 * ```
 */
export class MemoryScope implements Disposable {
  readonly #holdings: Holdings;
  readonly #onDispose: () => void;

  private constructor(holdings: Holdings, onDispose: () => void) {
    this.#holdings = holdings;
    this.#onDispose = onDispose;
  }

  static {
    makeScope = (holdings, onDispose) => new MemoryScope(holdings, onDispose);
  }

  /** What it was called. */
  get label(): string {
    return this.#holdings.quota.label;
  }

  /** Bytes that its tensors may take together. */
  get maxBytes(): number {
    return this.#holdings.quota.maxBytes;
  }

  /** Bytes that its tensors take, also those that it let go of and another process still holds. */
  get bytesInUse(): number {
    return this.#holdings.quota.bytesInUse;
  }

  /** Whether it was disposed. */
  get disposed(): boolean {
    return this.#holdings.disposed;
  }

  /** As {@linkcode SharedMemoryAllocator.tensor}, within the quota. @throws {MemoryError} MEMORY_BUDGET */
  tensor<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    return this.#holdings.tensor(dtype, shape);
  }

  /** As {@linkcode SharedMemoryAllocator.share}, within the quota. @throws {MemoryError} MEMORY_BUDGET */
  share<D extends DType>(tensor: Tensor<D>): Tensor<D> {
    return this.#holdings.share(tensor);
  }

  /**
   * Opens a reference to one of this scope's own tensors, such as one that comes back from the client whose scope it
   * is: a client that names another one's memory is refused. As {@linkcode Tensor.open}; the scope's end disposes it.
   *
   * @throws {TypeError} FOREIGN_REFERENCE when the scope did not make the tensor, or it was freed
   */
  open(ref: TensorRef | string, options: { readOnly?: boolean } = {}): Tensor {
    return this.#holdings.open(ref, options);
  }

  /** Disposes of all its tensors, and makes no more. What other processes hold stays until they let it go. */
  [Symbol.dispose](): void {
    this.#holdings.dispose();
    this.#onDispose();
  }
}
