import { Buffer } from "node:buffer";
import { type Feeds, Tensor } from "../../mod.ts";
import type { OperatorInput } from "./models.ts";

/** What a model's open dimensions are in a run. */
export type Sizes = Readonly<Record<string, number>>;

/** A few of many sizes that onnxruntime computes in different ways. */
export const SIZES: readonly Sizes[] = [
  { batch: 1, sequence: 1, height: 1, width: 1, length: 1 },
  { batch: 2, sequence: 3, height: 5, width: 4, length: 7 },
  { batch: 7, sequence: 2, height: 9, width: 10, length: 33 },
  { batch: 33, sequence: 17, height: 3, width: 13, length: 64 },
];

/** Numbers from -1 to 1, others for each seed. */
function* noise(seed: number): Generator<number, never> {
  for (let state = seed;;) {
    state = Math.imul(state, 1664525) + 1013904223 | 0;
    yield state / 2 ** 31;
  }
}

/** Random tensors for a model's inputs, the same ones each time: floats from -1 to 1, and integers that are in range. */
export function operatorFeeds(inputs: readonly OperatorInput[], sizes: Sizes, seed: number = 1): Feeds {
  const numbers = noise(seed), feeds: Record<string, Tensor> = {};
  for (const { name, dtype, shape, below = 256 } of inputs) {
    const dimensions = shape.map((size) => typeof size === "string" ? sizes[size]! : size);
    const count = dimensions.reduce((product, size) => product * size, 1);
    const values = Array.from({ length: count }, () => numbers.next().value);
    const whole = (value: number): number => Math.floor((value + 1) / 2 * below);
    feeds[name] = Tensor.from(/float/.test(dtype) ? values : values.map(whole), dimensions, dtype);
  }
  return feeds;
}

/** The largest number in a tensor, and the largest difference from another one of its shape. */
export function compare(wanted: Tensor, found: Tensor): { readonly largest: number; readonly apart: number } {
  let largest = 0, apart = 0;
  const others = found.data as ArrayLike<number>;
  Array.prototype.forEach.call(wanted.data, (value: number, i) => {
    largest = Math.max(largest, Math.abs(value));
    const difference = Math.abs(value - others[i]!);
    apart = Math.max(apart, Number.isNaN(difference) ? Infinity : difference);
  });
  return { largest, apart };
}

/** Whether two tensors are the same to the bit. */
export function identical(wanted: Tensor, found: Tensor): boolean {
  return Buffer.from(wanted.toBytes()).equals(found.toBytes());
}
