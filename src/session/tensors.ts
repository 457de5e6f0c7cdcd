import { typeError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * Tensors by name. Disposing them disposes those that the run created; tensors that were given to it stay their
 * giver's.
 */
export type Tensors = { readonly [name: string]: Tensor } & Disposable;

const GIVEN = Symbol("given");

/** Nothing is inherited from Object, so that an output may have any name. */
const prototype: object = Object.create(null, {
  [Symbol.dispose]: {
    value(this: Record<string, Tensor> & { [GIVEN]?: readonly Tensor[] }): void {
      for (const name of Object.keys(this)) if (!this[GIVEN]?.includes(this[name]!)) this[name]![Symbol.dispose]();
    },
  },
});

/** A result without tensors. */
export function emptyTensors(): Record<string, Tensor> {
  return Object.create(prototype);
}

/** Notes which of the tensors were given to the run. */
export function noteGiven(tensors: Record<string, Tensor>, given: readonly Tensor[]): void {
  Object.defineProperty(tensors, GIVEN, { value: given });
}

/** Makes reading an output that holds no tensor an error that says so, while the others work. */
export function refuseOutput(tensors: Record<string, Tensor>, name: string, found: string): void {
  Object.defineProperty(tensors, name, {
    get() {
      throw typeError("NOT_A_TENSOR", `Cannot fetch output "${name}": a tensor wanted, ${found} found`);
    },
  });
}
