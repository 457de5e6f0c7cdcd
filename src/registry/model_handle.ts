import { disposedError } from "../errors.ts";
import type { Reference } from "../session/reference.ts";

/** Makes a handle. For the registry. */
export let makeHandle: <T>(model: T, key: string, reference: Reference, again: () => ModelHandle<T>) => ModelHandle<T>;

const dropped = new FinalizationRegistry<Reference>((reference) => reference.dropped());

/**
 * A counted reference to an object that a registry keeps. It owns a share: dispose gives it back.
 *
 * @example
 * ```ts
 * import { models } from "@coload/onnx";
 *
 * using tokenizer = await models.getOrLoad("words", () => ({ model: (text: string) => text.split(" ") }));
 * console.log(tokenizer.model("one copy")); // [ "one", "copy" ]
 * ```
 */
export class ModelHandle<T> implements Disposable {
  readonly #model: T;
  readonly #key: string;
  readonly #reference: Reference;
  readonly #again: () => ModelHandle<T>;

  private constructor(model: T, key: string, reference: Reference, again: () => ModelHandle<T>) {
    this.#model = model;
    this.#key = key;
    this.#reference = reference;
    this.#again = again;
    dropped.register(this, reference, reference);
  }

  static {
    makeHandle = (model, key, reference, again) => new ModelHandle(model, key, reference, again);
  }

  /** The object. @throws {ReferenceError} DISPOSED */
  get model(): T {
    if (this.#reference.disposed) throw disposedError(`handle to "${this.#key}"`);
    return this.#model;
  }

  /** The key that it is kept under. */
  get key(): string {
    return this.#key;
  }

  /** One more reference. @throws {ReferenceError} DISPOSED */
  clone(): ModelHandle<T> {
    if (this.#reference.disposed) throw disposedError(`handle to "${this.#key}"`);
    return this.#again();
  }

  /** Gives the reference back. Twice is harmless. */
  [Symbol.dispose](): void {
    dropped.unregister(this.#reference);
    this.#reference.dispose();
  }
}
