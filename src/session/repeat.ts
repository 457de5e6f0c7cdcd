import { cstring } from "../../ffi/cstring.ts";
import { ffi } from "../../ffi/mod.ts";
import { Handle } from "../handle.ts";
import { ort } from "../ort/environment.ts";
import { pointerIn, scratch } from "../ort/scratch.ts";
import { check } from "../ort/status.ts";
import type { NumericData, NumericDType } from "../tensor/dtype.ts";
import { heapFromNative, type HeapStorage, type Storage } from "../tensor/internal.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkRunOptions, type Feeds, type RunSyncOptions } from "./run_options.ts";
import type { SessionCore } from "./session_core.ts";
import { emptyTensors, type Tensors } from "./tensors.ts";

/** An input of the run that is repeated. */
export interface RepeatedInput {
  readonly name: string;
  readonly value: Handle;
  readonly tensor: Tensor;
  readonly storage: Storage;
  /** What a native tensor's memory must still hold: the value's owner. */
  readonly attachment: Disposable | undefined;
  /** Where a heap tensor is copied to. */
  readonly data: NumericData | undefined;
}

/** An output of the run that is repeated. */
export interface RepeatedOutput {
  readonly name: string;
  readonly value: Handle;
  /** The tensor, if it was given, and what it lies in. */
  readonly tensor: Tensor | undefined;
  readonly storage: Storage | undefined;
  readonly attachment: Disposable | undefined;
  /** Where it is copied from, unless C writes the given tensor's own memory. */
  readonly data: NumericData | undefined;
  /** What a new tensor is. */
  readonly dtype: NumericDType;
  readonly shape: readonly number[];
}

/**
 * A run that was done before, to be done again with the same tensors: C gets a binding, and JavaScript looks only at
 * what may have changed since. A model of some size empties the caches: what costs between two runs is not so much what
 * is computed as what is touched.
 */
export class Repeat {
  readonly #core: SessionCore;
  readonly #inputs: readonly RepeatedInput[];
  readonly #outputs: readonly RepeatedOutput[];
  readonly #wanted: "all" | "named" | "given";
  readonly #options: RunSyncOptions | undefined;
  #binding: Handle | undefined;
  #runs = 0;

  /** @param inputs in the order of the feeds' keys */
  constructor(
    core: SessionCore,
    inputs: readonly RepeatedInput[],
    outputs: readonly RepeatedOutput[],
    options: RunSyncOptions | undefined,
  ) {
    const wanted = options?.outputs;
    this.#core = core;
    this.#inputs = inputs;
    this.#outputs = outputs;
    this.#options = options;
    this.#wanted = wanted === undefined ? "all" : Array.isArray(wanted) ? "named" : "given";
  }

  /** How often it was run. */
  get runs(): number {
    return this.#runs;
  }

  /** Whether these are the tensors of the run that was done before. @throws {TypeError} for options that are none */
  matches(feeds: Feeds, options: RunSyncOptions | undefined): boolean {
    const inputs = this.#inputs;
    let count = 0;
    for (const name in feeds) {
      if (count === inputs.length) return false;
      const input = inputs[count++]!;
      if (input.name !== name || input.tensor !== feeds[name]) return false;
    }
    return count === inputs.length && this.#wants(options);
  }

  #wants(options: RunSyncOptions | undefined): boolean {
    if (options === undefined) return this.#wanted === "all";
    if (options !== this.#options) checkRunOptions(options);
    const { outputs: wanted, outputStorage } = options, outputs = this.#outputs;
    if (this.#wanted !== "given" && outputStorage !== undefined && outputStorage !== "heap") return false;
    if (wanted === undefined) return this.#wanted === "all";
    if (Array.isArray(wanted)) {
      return this.#wanted === "named" && wanted.length === outputs.length &&
        outputs.every(({ name }, i) => wanted[i] === name);
    }
    let count = 0;
    for (const name in wanted) {
      if (count === outputs.length) return false;
      const output = outputs[count++]!;
      if (output.name !== name || output.tensor !== (wanted as Record<string, Tensor>)[name]) return false;
    }
    return count === outputs.length;
  }

  /**
   * Runs again; `undefined` when a whole run has to be done instead.
   *
   * @throws {ReferenceError} DISPOSED
   * @throws {TypeError} TENSOR_BUSY; TENSOR_DETACHED
   */
  run(): Tensors | undefined {
    if (!this.#load()) return undefined;
    const { api, pointer, runOptions } = this.#core, binding = this.#binding ?? this.#bind();
    const status = api.RunWithBinding(pointer, runOptions, binding.pointer);
    this.#runs++;
    if (status === null) return this.#collect();
    api.ReleaseStatus(status); // a whole run fails as well and says why, unless this one expected a wrong shape
    return undefined;
  }

  /** Looks at every tensor and copies what is in the heap. Nothing of the user's runs from here until C does. */
  #load(): boolean {
    for (const { storage, data, attachment } of this.#inputs) {
      storage.checkReadable();
      if (data === undefined) {
        if (storage.attachment !== attachment) return false;
      } else {
        storage.check();
        (storage as HeapStorage).copyTo(data);
      }
    }
    if (this.#wanted !== "given") return true;
    for (const { storage, data, attachment } of this.#outputs) {
      storage!.checkWritable();
      if (data !== undefined) storage!.check();
      else if (storage!.attachment !== attachment) return false;
    }
    return true;
  }

  #collect(): Tensors {
    const given = this.#wanted === "given", tensors = emptyTensors(given);
    for (const { name, tensor, storage, data, dtype, shape } of this.#outputs) {
      if (given && data !== undefined) (storage as HeapStorage).copyFrom(data);
      tensors[name] = given ? tensor! : heapFromNative(dtype, shape, data!);
    }
    return tensors as unknown as Tensors;
  }

  /** Makes the binding, when it is known that the run comes again. */
  #bind(): Handle {
    const { api, pointer } = this.#core;
    check(api.CreateIoBinding(pointer, scratch().a), "make a binding");
    const binding = pointerIn()!, release = ffi.pointer(ort().address("ReleaseIoBinding"))!;
    this.#binding = new Handle("binding", binding, { release });
    for (const { name, value } of this.#inputs) {
      check(api.BindInput(binding, cstring(name), value.pointer), "bind an input");
    }
    for (const { name, value } of this.#outputs) {
      check(api.BindOutput(binding, cstring(name), value.pointer), "bind an output");
    }
    return this.#binding;
  }

  /** Releases the binding. */
  dispose(): void {
    const binding = this.#binding?.take();
    if (binding) this.#core.api.ReleaseIoBinding(binding);
  }
}
