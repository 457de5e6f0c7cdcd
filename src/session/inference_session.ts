import { disposedError } from "../errors.ts";
import { type ModelMetadata, readModelMetadata } from "../ort/model_metadata.ts";
import type { ModelSource } from "../ort/model_source.ts";
import { releaseSession } from "../ort/release_session.ts";
import { arenaStatistics } from "../ort/session_memory.ts";
import { checkOptionNames, isCpuOnly, type SessionOptions } from "../ort/session_options.ts";
import type { ValueInfo } from "../ort/type_info.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Sharing } from "../weights/share.ts";
import { type Binding, makeBinding } from "./binding.ts";
import { arenaPolicy } from "./idle_arena.ts";
import { createNativeSession, type NativeSession, unusedReservation, type WeightMemory } from "./native_session.ts";
import { Reference } from "./reference.ts";
import { run, runSync } from "./run.ts";
import type { Feeds, RunOptions, RunSyncOptions } from "./run_options.ts";
import { SessionCore } from "./session_core.ts";
import { nextSessionNumber } from "./session_number.ts";
import type { Tensors } from "./tensors.ts";

/** A model that can be run, in this process or in another. */
export interface Model {
  /** What it wants, in the model's order. */
  readonly inputs: readonly ValueInfo[];
  /** What it gives, in the model's order. */
  readonly outputs: readonly ValueInfo[];
  /** Runs it while the event loop goes on. The caller owns what comes out. @throws as {@linkcode InferenceSession.run} */
  run(feeds: Feeds, options?: RunOptions): Promise<Tensors>;
  /** Runs it on the calling thread. The caller owns what comes out. @throws as {@linkcode InferenceSession.runSync} */
  runSync(feeds: Feeds, options?: RunSyncOptions): Tensors;
}

/** What a session holds, in bytes. */
export interface SessionMemory {
  /** Its weights, as they are laid out for computing, in this process alone. */
  readonly weights: number;
  /** Weights in a file that all processes of the machine share, which takes them once. */
  readonly shared: number;
  /** What its arena took from the system for activations, up to now. */
  readonly arena: number;
  /** How `weights` and `shared` are known. */
  readonly source: WeightMemory["source"];
}

/** Makes a session that uses a core until its reference is given back. For the registry. */
export let makeSession: (
  core: SessionCore,
  held: Pick<NativeSession, "weights" | "sharing">,
  reference: Reference,
) => InferenceSession;

/** What this thread knows of a session's native one. It must not be disposed of meanwhile. For the executors of a worker. */
export let coreOf: (session: InferenceSession) => SessionCore;

const dropped = new FinalizationRegistry<Reference>((reference) => reference.dropped());

/**
 * A model that onnxruntime has loaded. It owns the native session, or a counted share of it when it comes from a
 * registry.
 *
 * @example
 * ```ts
 * import { InferenceSession, Tensor } from "@coload/onnx";
 *
 * const add = Uint8Array.fromBase64( // a whole model: c = a + b, of 2 floats each
 *   "CAgSEmNvbG9hZC10ZXN0LW1vZGVsczpTChcKAWEKAWISAWMaBUFkZF9jIgNBZGQ6ABIFZ3JhcGhaDwoBYRIKCggIARIECgIIAloPCgFi" +
 *     "EgoKCAgBEgQKAggCYg8KAWMSCgoICAESBAoCCAJCBAoAEBE=",
 * );
 * await using session = await InferenceSession.create(add);
 * console.log(session.inputs[0]); // { name: "a", kind: "tensor", dtype: "float32", shape: [ 2 ] }
 *
 * const a = Tensor.from(new Float32Array([1, 2])), b = Tensor.from(new Float32Array([3, 4]));
 * console.log(session.runSync({ a, b }).c.data); // Float32Array [ 4, 6 ]
 *
 * const c = Tensor.zeros("float32", [2]);
 * session.runSync({ a, b }, { outputs: { c } }); // written in place
 * const results = await session.run({ a, b }, { signal: AbortSignal.timeout(1000) });
 * console.log(c.data[1], results.c.data[1]); // 6 6
 * ```
 */
export class InferenceSession implements Model, Disposable, AsyncDisposable {
  readonly #core: SessionCore;
  readonly #reference: Reference;
  readonly #weights: WeightMemory;
  /** Whether all processes share its weights, and where, or why not. Also after dispose. */
  readonly sharing: Sharing;
  #metadata: ModelMetadata | undefined;

  private constructor(
    core: SessionCore,
    { weights, sharing }: Pick<NativeSession, "weights" | "sharing">,
    reference: Reference,
  ) {
    this.#core = core;
    this.#weights = weights;
    this.sharing = sharing;
    this.#reference = reference;
    dropped.register(this, reference, reference);
  }

  static {
    coreOf = (session) => session.#core;
    makeSession = (core, held, reference) => new InferenceSession(core, held, reference);
  }

  /**
   * Loads a model for the caller alone; use a registry to share it. The event loop stays free. With `shareWeights`
   * "prepacked" or "mapped" it first prepares a copy in Coload's cache, unless that is there: about ten times the time
   * of a load, once.
   *
   * @param model a path, a `file:` URL, or the model's bytes, which are copied
   * @throws {OrtError} MODEL_NOT_FOUND, MODEL_INVALID, MODEL_UNSUPPORTED, EXTERNAL_DATA
   * @throws {LibraryError} when there is no usable onnxruntime
   * @throws {NativeError} PROVIDER_UNAVAILABLE
   * @throws {MemoryError} OUT_OF_MEMORY
   * @throws {TypeError | RangeError} for bad options
   */
  static async create(model: ModelSource, options: SessionOptions = {}): Promise<InferenceSession> {
    checkOptionNames(options);
    const made = await createNativeSession(model, options), { pointer, handle } = made;
    const core = new SessionCore(pointer, `session-${nextSessionNumber()}`, isCpuOnly(options));
    const reference = new Reference(`session ${core.id}`, () => {
      core.dispose();
      return releaseSession(handle.take()!);
    });
    core.keepArena(arenaPolicy(options, made.sharing), () => reference.hold());
    return new InferenceSession(core, made, reference);
  }

  /** What the model wants. */
  get inputs(): readonly ValueInfo[] {
    return this.#core.inputInfos;
  }

  /** What the model gives. */
  get outputs(): readonly ValueInfo[] {
    return this.#core.outputInfos;
  }

  /** The same for every reference to one native session. */
  get id(): string {
    return this.#core.id;
  }

  /** Whether it was disposed. */
  get disposed(): boolean {
    return this.#reference.disposed;
  }

  /** What the model says of itself. @throws {ReferenceError} DISPOSED */
  get metadata(): ModelMetadata {
    this.#use();
    return this.#metadata ??= readModelMetadata(this.#core.pointer);
  }

  /** What the session holds. @throws {ReferenceError} DISPOSED */
  get memory(): SessionMemory {
    this.#use();
    const { bytes, shared, source } = this.#weights, weights = bytes - shared;
    const reserved = arenaStatistics(this.#core.pointer)?.reserved ?? 0;
    return {
      weights,
      shared,
      arena: Math.max(0, reserved - weights - unusedReservation(this.sharing, shared)),
      source,
    };
  }

  /**
   * Runs the model on a native thread; the event loop stays free. Copies heap feeds (0.1 ms a MB), takes native and
   * shared ones by reference and pins them until C is done.
   *
   * @throws {TypeError} MISSING_FEED, UNKNOWN_FEED, INVALID_DTYPE, UNKNOWN_OUTPUT, NOT_A_TENSOR, TENSOR_BUSY,
   * TENSOR_DETACHED, READ_ONLY
   * @throws {RangeError} INVALID_SHAPE
   * @throws {ReferenceError} DISPOSED
   * @throws {OrtError} when onnxruntime fails; an abort rejects with the signal's reason
   */
  // deno-lint-ignore require-await -- so that a mistake rejects, and does not throw
  async run(feeds: Feeds, options?: RunOptions): Promise<Tensors> {
    this.#use();
    return run(this.#core, this.#reference, feeds, options);
  }

  /** Runs the model on this thread. Borrows the feeds. @throws as {@linkcode InferenceSession.run} rejects */
  runSync(feeds: Feeds, options?: RunSyncOptions): Tensors {
    this.#use();
    return runSync(this.#core, feeds, options);
  }

  /**
   * Resolves names and memory once, for the quickest runs. Borrows the tensors, which must be native or shared, until
   * the binding is disposed.
   *
   * @throws as {@linkcode InferenceSession.run} rejects, and TypeError UNSUPPORTED for heap tensors
   */
  bind(feeds: Feeds, outputs: Record<string, Tensor>): Binding {
    this.#use();
    return makeBinding(this.#core, this.#reference, feeds, outputs);
  }

  /** Gives the session up. Runs in flight finish first. Twice is harmless. */
  [Symbol.dispose](): void {
    dropped.unregister(this.#reference);
    this.#reference.dispose();
  }

  /**
   * Gives the session up, and resolves when its runs are over and its memory is given back. A binding that was not
   * disposed keeps the memory until it is; that is not waited for.
   */
  [Symbol.asyncDispose](): Promise<void> {
    dropped.unregister(this.#reference);
    return this.#reference.disposeAsync();
  }

  #use(): void {
    if (this.#reference.disposed) throw disposedError(this.#reference.what);
  }
}
