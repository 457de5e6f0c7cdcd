import { typeError } from "../errors.ts";
import type { StorageKind } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Tensors by the names of a model's inputs. */
export type Feeds = Readonly<Record<string, Tensor>>;

/** What a run computes, and where its results go. */
export interface RunSyncOptions {
  /**
   * Names of the outputs to compute, or tensors to write them into in place, by name. Default: every output that is a
   * tensor. `run` takes native and shared tensors only: a heap buffer could be transferred away while C writes it.
   */
  outputs?: readonly string[] | Record<string, Tensor>;
  /**
   * Where outputs that were not given lie. Default: `"heap"`, which the garbage collector owns. `"shared"`: in
   * `SharedMemoryAllocator.default`, this thread's, for other processes to open; without a copy where the output's shape
   * is known before the run, because the model says it or it has been the same. That allocator has no limit: to have
   * one, give tensors of an allocator of yours as `outputs`. Strings come out in the heap.
   */
  outputStorage?: StorageKind;
}

/** Options of an asynchronous run. */
export interface RunOptions extends RunSyncOptions {
  /** Rejects the run at once with its reason; C stops at its next operator. */
  signal?: AbortSignal;
}

const KNOWN = ["outputs", "outputStorage", "signal"];
const STORAGES: readonly unknown[] = [undefined, "heap", "native", "shared"];

/** @throws {TypeError} for options that are not what their types say */
export function checkRunOptions(options: RunOptions): void {
  for (const key in options) {
    if (!KNOWN.includes(key)) throw typeError("INVALID_ARGUMENT", `Cannot run: there is no option "${key}"`);
  }
  const storage: unknown = options.outputStorage, outputs: unknown = options.outputs;
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw typeError("INVALID_ARGUMENT", "Cannot run: an AbortSignal wanted as signal");
  }
  if (outputs !== undefined && (typeof outputs !== "object" || outputs === null)) {
    throw typeError("INVALID_ARGUMENT", `Cannot run: outputs by name wanted, ${String(outputs)} found`);
  }
  if (!STORAGES.includes(storage)) {
    const message = `Cannot run: outputStorage "heap", "native" or "shared" wanted, ${String(storage)} found`;
    throw typeError("INVALID_ARGUMENT", message);
  }
}
