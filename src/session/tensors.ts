import { typeError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Tensors by name. Disposing them disposes those that the run created; tensors that were given to it stay their
 * giver's.
 */
export type Tensors = { readonly [name: string]: Tensor } & Disposable;

class Result {
  readonly #given: boolean;

  constructor(given: boolean) {
    this.#given = given;
  }

  [Symbol.dispose](this: Result & Record<string, Tensor>): void {
    if (this.#given) return;
    for (const name of Object.keys(this)) this[name]![Symbol.dispose]();
  }
}

// Nothing is inherited from Object, so that an output may have any name.
Object.setPrototypeOf(Result.prototype, null);
delete (Result.prototype as { constructor?: unknown }).constructor;

/** A result without tensors. @param given whether those that come are their giver's to dispose */
export function emptyTensors(given: boolean): Record<string, Tensor> {
  return new Result(given) as unknown as Record<string, Tensor>;
}

/** Makes reading an output that holds no tensor an error that says so, while the others work. */
export function refuseOutput(tensors: Record<string, Tensor>, name: string, found: string): void {
  Object.defineProperty(tensors, name, {
    get() {
      throw typeError("NOT_A_TENSOR", `Cannot fetch output "${name}": a tensor wanted, ${found} found`);
    },
  });
}
