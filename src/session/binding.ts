import { cstring } from "../../ffi/cstring.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { disposedError, rangeError, typeError } from "../errors.ts";
import { Handle } from "../handle.ts";
import { ort } from "../ort/environment.ts";
import { pointerIn, scratch } from "../ort/scratch.ts";
import { check } from "../ort/status.ts";
import { isTensor, sharesMemory, type Storage, storageOf } from "../tensor/internal.ts";
import { equalShapes } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkFeed, refuseFeed, refuseUnknownFeeds } from "./feed.ts";
import { checkTarget, checkTargetShape } from "./output.ts";
import type { Reference } from "./reference.ts";
import type { Feeds } from "./run_options.ts";
import { checkShape, type Port } from "./port.ts";
import type { SessionCore } from "./session_core.ts";
import { valueOf } from "./tensor_value.ts";

/** Makes a binding. For the session. */
export let makeBinding: (
  core: SessionCore,
  reference: Reference,
  feeds: Feeds,
  outputs: Record<string, Tensor>,
) => Binding;

const DOING = "run the binding";

/** What a binding holds, apart from the object that the garbage collector may take. */
interface Held {
  readonly core: SessionCore;
  readonly reference: Reference;
  readonly handle: Handle;
}

function release({ core, reference, handle }: Held): void {
  const pointer = handle.take();
  if (pointer === null) return;
  core.api.ReleaseIoBinding(pointer);
  reference.untie();
}

const dropped = new FinalizationRegistry<Held>((held) => {
  console.warn('coload: a binding was garbage-collected without dispose; declare it with "using", or dispose of it');
  release(held);
});

function bindable(what: string, tensor: Tensor): Storage {
  const storage = storageOf(tensor);
  if (storage.disposed) throw disposedError("tensor");
  if (storage.kind === "heap") {
    throw typeError("UNSUPPORTED", `Cannot bind "${what}": a native or shared tensor wanted, a heap tensor found`);
  }
  return storage;
}

function refuseOverlap(output: string, tensor: Tensor, bound: readonly Tensor[]): void {
  if (!bound.some((other) => other !== tensor && sharesMemory(storageOf(tensor), storageOf(other)))) return;
  throw typeError("TENSOR_BUSY", `Cannot bind output "${output}": another tensor that is bound lies in its memory`);
}

/**
 * A session's inputs and outputs tied to memory once and for all, so that a run resolves nothing. It borrows its
 * tensors: write the inputs, run, read the outputs.
 *
 * @example
 * ```ts
 * import { models, Tensor } from "@coload/onnx";
 *
 * const file = new URL(import.meta.resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx"));
 * using session = await models.load(file);
 * using input = Tensor.zeros("float32", [1, 512], { storage: "native" });
 * using state = Tensor.zeros("float32", [2, 1, 128], { storage: "native" });
 * using sr = Tensor.zeros("int64", [], { storage: "native" });
 * using output = Tensor.zeros("float32", [1, 1], { storage: "native" });
 * using stateN = Tensor.zeros("float32", [2, 1, 128], { storage: "native" });
 * sr.data[0] = 16000n;
 *
 * using binding = session.bind({ input, state, sr }, { output, stateN });
 * for (const loudness of [0, 0.1, 0.2]) {
 *   input.data.fill(loudness);
 *   binding.runSync();
 *   console.log(output.data[0]);
 *   binding.swap("state", "stateN"); // what came out goes in next
 * }
 * ```
 */
export class Binding implements Disposable {
  readonly #core: SessionCore;
  readonly #reference: Reference;
  readonly #handle: Handle;
  readonly #pointer: Pointer;
  readonly #inputs: Record<string, Tensor> = Object.create(null);
  readonly #outputs: Record<string, Tensor> = Object.create(null);
  #reads: Storage[] = [];
  #writes: Storage[] = [];
  #running = 0;
  #disposed = false;

  private constructor(core: SessionCore, reference: Reference, feeds: Feeds, outputs: Record<string, Tensor>) {
    this.#core = core;
    this.#reference = reference;
    refuseUnknownFeeds(core, feeds);
    const inputs = [...core.inputs, ...core.overridable.filter((port) => port.name in feeds)].map((port) => {
      const tensor: unknown = feeds[port.name];
      if (!isTensor(tensor)) refuseFeed(core, port.name, port, tensor);
      checkFeed(port, tensor);
      checkShape(port, tensor.shape);
      bindable(port.name, tensor);
      return { port, tensor };
    });
    const targets = Object.entries(outputs).map(([name, tensor]) => {
      const port = core.outputs[core.outputPort(name)]!;
      if (!isTensor(tensor)) throw typeError("INVALID_ARGUMENT", `Cannot bind output "${name}": a Tensor wanted`);
      checkTarget(port, tensor, bindable(name, tensor), true);
      checkTargetShape(port, tensor.shape);
      return { port, tensor };
    });
    const bound = [...inputs, ...targets].map(({ tensor }) => tensor);
    for (const { port, tensor } of targets) refuseOverlap(port.name, tensor, bound);
    if (targets.length === 0) throw typeError("INVALID_ARGUMENT", "Cannot make a binding: no output is bound");
    check(core.api.CreateIoBinding(core.pointer, scratch().a), "make a binding");
    this.#pointer = pointerIn()!;
    const release = ffi.pointer(ort().address("ReleaseIoBinding"))!;
    this.#handle = new Handle("binding", this.#pointer, { release });
    reference.tie();
    dropped.register(this, { core, reference, handle: this.#handle }, this.#handle);
    try {
      for (const { port, tensor } of inputs) this.#bindInput(port, tensor);
      for (const { port, tensor } of targets) this.#bindOutput(port, tensor);
    } catch (error) {
      this.#release();
      throw error;
    }
    this.#resolve();
  }

  static {
    makeBinding = (core, reference, feeds, outputs) => new Binding(core, reference, feeds, outputs);
  }

  /** The tensors that go in, by name, as they are bound now. */
  get inputs(): Readonly<Record<string, Tensor>> {
    return this.#inputs;
  }

  /** The tensors that come out, by name, as they are bound now. */
  get outputs(): Readonly<Record<string, Tensor>> {
    return this.#outputs;
  }

  /** Runs on this thread. @throws {OrtError} @throws {TypeError} TENSOR_BUSY @throws {ReferenceError} DISPOSED */
  runSync(): void {
    this.#pin();
    try {
      const { api, pointer, runOptions } = this.#core, status = api.RunWithBinding(pointer, runOptions, this.#pointer);
      if (status !== null) check(status, DOING);
    } finally {
      this.#unpin();
      this.#core.ran();
    }
  }

  /** Runs on a native thread; its outputs are busy until it resolves. @throws as {@linkcode Binding.runSync} */
  async run(): Promise<void> {
    this.#pin();
    this.#running++;
    this.#core.began();
    this.#reference.begin();
    try {
      const fn = ort().address("RunWithBinding"), runOptions = ffi.address(this.#core.runOptions);
      const status = await callNative("run", fn, [this.#core.address, runOptions, this.#handle.address]);
      check(ffi.pointer(status), DOING);
    } finally {
      this.#unpin();
      this.#core.ended();
      this.#running--;
      if (this.#disposed && this.#running === 0) this.#release();
      this.#reference.end();
    }
  }

  /**
   * Exchanges the tensors of an input and an output, so that the state which came out goes in next. Copies nothing.
   *
   * @throws {TypeError} UNKNOWN_FEED or UNKNOWN_OUTPUT for what is not bound; INVALID_DTYPE; TENSOR_BUSY during a run
   * @throws {RangeError} INVALID_SHAPE when the two differ
   */
  swap(input: string, output: string): void {
    this.#use();
    const into = this.#inputs[input], out = this.#outputs[output];
    if (into === undefined) throw typeError("UNKNOWN_FEED", `Cannot swap "${input}": no such input is bound`);
    if (out === undefined) throw typeError("UNKNOWN_OUTPUT", `Cannot swap "${output}": no such output is bound`);
    if (this.#running > 0) throw typeError("TENSOR_BUSY", `Cannot swap "${input}" and "${output}": a run is in flight`);
    if (into.disposed || out.disposed) throw disposedError("tensor");
    if (into.dtype !== out.dtype) {
      throw typeError("INVALID_DTYPE", `Cannot swap "${input}" and "${output}": ${into.dtype} against ${out.dtype}`);
    }
    if (!equalShapes(into.shape, out.shape)) {
      const shapes = `[${into.shape.join(", ")}] against [${out.shape.join(", ")}]`;
      throw rangeError("INVALID_SHAPE", `Cannot swap "${input}" and "${output}": ${shapes}`);
    }
    checkTarget(this.#core.outputs[this.#core.outputPort(output)]!, into, storageOf(into), true);
    refuseOverlap(output, into, [...Object.values(this.#inputs), ...Object.values(this.#outputs)]);
    this.#bindInput(this.#port(input), out);
    this.#bindOutput(this.#core.outputs[this.#core.outputPort(output)]!, into);
    this.#resolve();
  }

  /** Unties the tensors, which stay their owner's; a run in flight finishes first. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#running === 0) this.#release();
  }

  #port(input: string): Port {
    return [...this.#core.inputs, ...this.#core.overridable].find((port) => port.name === input)!;
  }

  #bindInput(port: Port, tensor: Tensor): void {
    const value = valueOf(tensor, bindable(port.name, tensor)).pointer;
    check(this.#core.api.BindInput(this.#pointer, cstring(port.name), value), `bind "${port.name}"`);
    this.#inputs[port.name] = tensor;
  }

  #bindOutput(port: Port, tensor: Tensor): void {
    const value = valueOf(tensor, bindable(port.name, tensor)).pointer;
    check(this.#core.api.BindOutput(this.#pointer, cstring(port.name), value), `bind "${port.name}"`);
    this.#outputs[port.name] = tensor;
  }

  #resolve(): void {
    this.#reads = Object.values(this.#inputs).map(storageOf);
    this.#writes = Object.values(this.#outputs).map(storageOf);
  }

  #use(): void {
    if (this.#disposed) throw disposedError("a binding");
  }

  #pin(): void {
    this.#use();
    let reads = 0, writes = 0;
    try {
      for (; reads < this.#reads.length; reads++) this.#reads[reads]!.pinRead();
      for (; writes < this.#writes.length; writes++) this.#writes[writes]!.pinWrite();
    } catch (error) {
      while (reads > 0) this.#reads[--reads]!.unpinRead();
      while (writes > 0) this.#writes[--writes]!.unpinWrite();
      throw error;
    }
  }

  #unpin(): void {
    for (const storage of this.#reads) storage.unpinRead();
    for (const storage of this.#writes) storage.unpinWrite();
  }

  #release(): void {
    dropped.unregister(this.#handle);
    release({ core: this.#core, reference: this.#reference, handle: this.#handle });
  }
}
