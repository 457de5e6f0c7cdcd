import type { Tensors } from "../../session/tensors.ts";
import { showShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { numbersOf } from "./convert.ts";
import { table } from "./table.ts";

/** Elements that are shown of a tensor. */
const SHOWN = 5;

/** A number in few digits; whole ones have all of theirs. */
export function formatNumber(value: number | bigint): string {
  return typeof value === "bigint" || Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)));
}

/** The first elements. */
export function firstValues(tensor: Tensor, count: number = SHOWN): string {
  const values = tensor.dtype === "string"
    ? (tensor.contiguous().data as string[]).slice(0, count).map((text) => JSON.stringify(text))
    : Array.from(numbersOf(tensor).subarray(0, count) as ArrayLike<number | bigint>, formatNumber);
  return values.join(", ") + (tensor.size > count ? ", …" : "");
}

interface Statistics {
  readonly min: string;
  readonly max: string;
  readonly mean: string;
}

/** Over what is a number: NaN is counted apart. */
function statistics(tensor: Tensor): Statistics & { readonly notes: string } {
  const none = { min: "", max: "", mean: "", notes: "" };
  if (tensor.dtype === "string" || tensor.size === 0) return none;
  const numbers: ArrayLike<number | bigint> = numbersOf(tensor);
  let min: number | bigint | undefined, max: number | bigint | undefined, sum = 0, count = 0;
  for (let i = 0; i < numbers.length; i++) {
    const value = numbers[i]!;
    if (value !== value) continue;
    if (min === undefined || value < min) min = value;
    if (max === undefined || value > max) max = value;
    sum += Number(value);
    count++;
  }
  const notes = count < numbers.length ? `${numbers.length - count} NaN` : "";
  if (min === undefined) return { ...none, notes };
  return { min: formatNumber(min), max: formatNumber(max!), mean: formatNumber(sum / count), notes };
}

/** One of a model's classes. */
export interface Score {
  readonly index: number;
  readonly value: number;
}

/** The highest scores of a tensor that is one vector, highest first; `undefined` for any other. NaN is no score. */
export function topScores(tensor: Tensor, count: number): Score[] | undefined {
  const { dtype, shape, size } = tensor;
  if (dtype === "string" || size < 2 || shape.at(-1) !== size) return undefined;
  const scores = Array.from(
    numbersOf(tensor) as ArrayLike<number | bigint>,
    (value, index) => ({ index, value: Number(value) }),
  );
  return scores.filter(({ value }) => !Number.isNaN(value)).sort((a, b) => b.value - a.value).slice(0, count);
}

/** What a run gave, in a table. */
export function summarize(outputs: Tensors, names: readonly string[], top: number | undefined): string {
  const rows = names.map((name) => {
    const tensor = outputs[name]!, { min, max, mean, notes } = statistics(tensor);
    const first = [firstValues(tensor), notes].filter((text) => text !== "").join("; ");
    return [name, tensor.dtype, showShape(tensor.shape), min, max, mean, first];
  });
  const parts = [table(["output", "dtype", "shape", "min", "max", "mean", "first"], rows)];
  for (const name of top === undefined ? [] : names) {
    const scores = topScores(outputs[name]!, top!);
    const lines = scores?.map(({ index, value }) => [String(index), formatNumber(value)]);
    if (lines) parts.push(`\n${name}\n${table(["class", "score"], lines)}`);
  }
  return parts.join("\n");
}
