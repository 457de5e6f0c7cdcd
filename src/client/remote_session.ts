import { disposedError } from "../errors.ts";
import type { ValueInfo } from "../ort/type_info.ts";
import type { CallOptions, CallSyncOptions } from "../protocol/call_options.ts";
import type { ModelDescription } from "../protocol/remote_model.ts";
import type { Model } from "../session/inference_session.ts";
import type { Feeds } from "../session/run_options.ts";
import type { Tensors } from "../session/tensors.ts";
import type { Link, ModelName } from "./link.ts";

/** Makes one. For the client. */
export let makeRemoteSession: (link: Link, model: ModelName, description: ModelDescription) => RemoteSession;

/** A worker's model, with the interface of a session. Disposing of it lets nothing go: the worker keeps the model. */
export class RemoteSession implements Model, Disposable, AsyncDisposable {
  /** What it wants, in the model's order. */
  readonly inputs: readonly ValueInfo[];
  /** What it gives, in the model's order. */
  readonly outputs: readonly ValueInfo[];
  /** The model's name at the worker. */
  readonly name: string;
  /** The model's version. */
  readonly version: string;
  readonly #link: Link;
  readonly #model: ModelName;
  #disposed = false;

  private constructor(link: Link, model: ModelName, { inputs, outputs, name, version }: ModelDescription) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.name = name;
    this.version = version;
    this.#link = link;
    this.#model = model;
  }

  static {
    makeRemoteSession = (link, model, description) => new RemoteSession(link, model, description);
  }

  /** Whether it was disposed. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Runs it in the worker. @throws as `ModelClient.infer` rejects; ReferenceError DISPOSED */
  run(feeds: Feeds, options?: CallOptions): Promise<Tensors> {
    if (this.#disposed) return Promise.reject(disposedError(`model "${this.name}"`));
    return this.#link.run(this.#model, feeds, options);
  }

  /**
   * Runs it in the worker while this thread waits. It looks after the worker at least every 100 ms.
   *
   * @throws as {@linkcode RemoteSession.run} rejects; WORKER_UNAVAILABLE while the connection is lost; TypeError
   * UNSUPPORTED over HTTP
   */
  runSync(feeds: Feeds, options?: CallSyncOptions): Tensors {
    if (this.#disposed) throw disposedError(`model "${this.name}"`);
    return this.#link.runSync(this.#model, feeds, options);
  }

  /** Makes any further run an error. Twice is harmless. */
  [Symbol.dispose](): void {
    this.#disposed = true;
  }

  /** The same; runs in flight go on. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    return Promise.resolve();
  }
}
