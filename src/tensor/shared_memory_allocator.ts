import { disposedError, rangeError, typeError } from "../errors.ts";
import { Arenas } from "../memory/arenas.ts";
import { Quota } from "../memory/quota.ts";
import { checkBackend } from "../memory/region_file.ts";
import { BLOCK_ALIGNMENT, PAGE } from "../memory/region_layout.ts";
import type { DType } from "./dtype.ts";
import { Holdings } from "./holdings.ts";
import { makeScope, type MemoryScope } from "./memory_scope.ts";
import type { Tensor } from "./tensor.ts";

/** Options of a {@linkcode SharedMemoryAllocator}. */
export interface AllocatorOptions {
  /** Most bytes for tensors. Default: what the system has. Tables come on top: a 64th, and at least 72 KiB an arena. */
  maxBytes?: number;
  /** Bytes of each arena; a larger tensor gets one of its own. Default: 16 MiB, and more the more there are. */
  arenaBytes?: number;
  /**
   * `"named"` files of /dev/shm, which any process of this user can open; or `"memfd"`, without a name, of a size that
   * nobody can change, gone with its last user: others open it while this process lives, in the same pid namespace.
   * Default: named, and memfd where /dev/shm cannot be used.
   */
  backend?: "named" | "memfd";
}

/** Options of a {@linkcode MemoryScope}. */
export interface ScopeOptions {
  /** Most bytes for its tensors. Default: the allocator's. */
  maxBytes?: number;
  /** What messages and metrics call it. */
  label?: string;
}

/** What a scope holds. */
export interface ScopeMetrics {
  /** What it was called; "the allocator" for all of one. */
  readonly label: string;
  /** Most bytes for its tensors. */
  readonly maxBytes: number;
  /** Bytes of its tensors, also those that only other processes hold. */
  readonly bytesInUse: number;
  /** How many these are. */
  readonly tensors: number;
}

/** What an allocator holds. */
export interface AllocatorMetrics extends ScopeMetrics {
  /** What its arenas are; `undefined` before the first. */
  readonly backend: "named" | "memfd" | undefined;
  /** How many there are. */
  readonly arenas: number;
  /** Bytes that they take from the machine, in use or not. */
  readonly bytesReserved: number;
  /** Bytes of the largest tensor that would need no further arena. */
  readonly largestFreeBytes: number;
  /** The part of the free bytes that is not in one piece: 0 is best, 1 worst. */
  readonly fragmentation: number;
  /** By scope. */
  readonly scopes: readonly ScopeMetrics[];
}

function checkBytes(name: string, value: number | undefined, least: number): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value >= least) || value === Infinity) return value;
  throw rangeError("OUT_OF_RANGE", `Cannot allocate shared memory: ${name} from ${least} up wanted, ${value} found`);
}

let byDefault: SharedMemoryAllocator | undefined;
let scopes = 0;

/**
 * Tensors in memory that other processes can see. It takes a few large regions from the system, and hands them out
 * again and again: memory that was in use before is warm, and costs microseconds.
 *
 * It belongs to its thread. The memory is not cleared: a new tensor has the bytes of an old one.
 *
 * @example
 * ```ts
 * import { SharedMemoryAllocator, Tensor } from "@coload/onnx";
 *
 * using allocator = new SharedMemoryAllocator({ maxBytes: 256 << 20 });
 * using samples = allocator.share(Tensor.from(new Float32Array([0.1, 0.2]))); // copied once
 * console.log(samples.storage, allocator.metrics().bytesInUse); // shared 64
 * ```
 */
export class SharedMemoryAllocator implements Disposable {
  readonly #arenas: Arenas;
  readonly #own: Holdings;
  readonly #scopes: Map<MemoryScope, Holdings> = new Map();

  /** Takes no memory before the first tensor. @throws {RangeError} OUT_OF_RANGE @throws {TypeError} INVALID_ARGUMENT */
  constructor(options: AllocatorOptions = {}) {
    const { maxBytes: most, arenaBytes: each, backend } = options ?? {};
    const maxBytes = checkBytes("maxBytes", most, BLOCK_ALIGNMENT) ?? Infinity;
    const arenaBytes = checkBytes("arenaBytes", each, PAGE);
    if (backend !== undefined) checkBackend(backend);
    this.#arenas = new Arenas({ maxBytes, arenaBytes, backend });
    this.#own = new Holdings(this.#arenas, new Quota("the allocator", maxBytes));
  }

  /** Whether it was disposed. */
  get disposed(): boolean {
    return this.#own.disposed;
  }

  /** This thread's allocator for whoever names none, as `outputStorage: "shared"` does. */
  static get default(): SharedMemoryAllocator {
    if (byDefault === undefined || byDefault.#own.disposed) byDefault = new SharedMemoryAllocator();
    return byDefault;
  }

  /**
   * Makes a tensor, aligned to 64 bytes, of whatever its memory held before.
   *
   * @param shape such as `[batch, 3, 224, 224]`
   * @throws {TypeError} INVALID_DTYPE, also for strings; INVALID_SHAPE
   * @throws {RangeError} INVALID_SHAPE
   * @throws {MemoryError} MEMORY_BUDGET beyond `maxBytes`; OUT_OF_MEMORY where the system has no more
   * @throws {SystemError} SYSTEM where there is no shared memory
   * @throws {ReferenceError} DISPOSED
   */
  tensor<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    return this.#own.tensor(dtype, shape);
  }

  /**
   * Copies a tensor into shared memory, once, in row-major order.
   *
   * @throws {TypeError} INVALID_ARGUMENT when it is none; TENSOR_BUSY while a run writes it; TENSOR_DETACHED
   * @throws as {@linkcode SharedMemoryAllocator.tensor}
   */
  share<D extends DType>(tensor: Tensor<D>): Tensor<D> {
    return this.#own.share(tensor);
  }

  /**
   * Makes a scope: a part of this memory with a quota of its own, whose end frees all it holds.
   *
   * @throws {RangeError} OUT_OF_RANGE for a quota that no tensor fits in
   * @throws {TypeError} INVALID_ARGUMENT for a label that is no text
   * @throws {ReferenceError} DISPOSED
   */
  scope(options: ScopeOptions = {}): MemoryScope {
    if (this.#own.disposed) throw disposedError("the allocator");
    const { maxBytes: most, label = `scope ${++scopes}` } = options ?? {};
    if (typeof label !== "string") {
      throw typeError("INVALID_ARGUMENT", `Cannot make a scope: a text wanted as label, ${typeof label} found`);
    }
    const maxBytes = checkBytes("a scope's maxBytes", most, BLOCK_ALIGNMENT) ?? Infinity;
    const quota = new Quota(label, maxBytes, this.#own.quota);
    const holdings = new Holdings(this.#arenas, quota);
    const scope = makeScope(holdings, () => this.#scopes.delete(scope));
    this.#scopes.set(scope, holdings);
    return scope;
  }

  /** What it holds, and what of that is in use. */
  metrics(): AllocatorMetrics {
    const { all, backend } = this.#arenas, { quota } = this.#own;
    for (const arena of all) arena.collectAll(); // also what its last holder died before it could give back
    const free = all.reduce((sum, { freeBytes }) => sum + freeBytes, 0);
    const largestFreeBytes = all.reduce((most, arena) => Math.max(most, arena.largestFreeBytes), 0);
    const largestEach = all.reduce((sum, arena) => sum + arena.largestFreeBytes, 0);
    const describe = ({ label, maxBytes, bytesInUse, blocks }: Quota): ScopeMetrics => //
    ({ label, maxBytes, bytesInUse, tensors: blocks });
    return {
      ...describe(quota),
      backend,
      arenas: all.length,
      bytesReserved: all.reduce((sum, { byteLength }) => sum + byteLength, 0),
      largestFreeBytes,
      fragmentation: free === 0 ? 0 : 1 - largestEach / free,
      scopes: [...this.#scopes.values()].map((holdings) => describe(holdings.quota)),
    };
  }

  /** Disposes of all its tensors and scopes. What other processes hold stays until they let it go. */
  [Symbol.dispose](): void {
    for (const scope of [...this.#scopes.keys()]) scope[Symbol.dispose]();
    this.#own.dispose();
    this.#arenas.dispose();
  }
}
