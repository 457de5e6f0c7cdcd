import { typeError } from "../../errors.ts";
import { fromBFloat16 } from "../../tensor/bfloat16.ts";
import type { DataOf, DType, NumericArray } from "../../tensor/dtype.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** The numbers that a tensor's elements are. */
export function numbersOf(tensor: Tensor): NumericArray {
  const { data } = tensor.contiguous();
  return tensor.dtype === "bfloat16" ? fromBFloat16(data as DataOf["bfloat16"]) : data as NumericArray;
}

const isFloat = (dtype: DType): boolean => dtype.includes("float");

function same(one: number | bigint, other: number | bigint): boolean {
  if (typeof one === typeof other) return one === other || (one !== one && other !== other);
  return one == other; // of a number and a bigint this compares the values exactly
}

/** Where numbers are not what they were before; -1 if nowhere. */
function firstChange(before: NumericArray, after: NumericArray): number {
  for (let i = 0; i < before.length; i++) if (!same(before[i]!, after[i]!)) return i;
  return -1;
}

function cut(numbers: NumericArray): NumericArray {
  return numbers instanceof BigInt64Array || numbers instanceof BigUint64Array
    ? numbers
    : (numbers as Float64Array).map(Math.trunc);
}

/** An array whose type is nobody's bits, so that its numbers are converted. */
function plain(numbers: NumericArray, dtype: DType): NumericArray | number[] {
  if (numbers instanceof Uint16Array) return Int32Array.from(numbers);
  return numbers instanceof Uint8Array && dtype === "bool" ? Array.from(numbers) : numbers;
}

/**
 * A tensor of the same numbers with another dtype, itself if it has that already.
 *
 * @param cast whether floats may be rounded and fractions be cut off; a bool is then whether a number is not 0
 * @throws {TypeError} INVALID_DTYPE when the dtype cannot hold the numbers exactly, or at all
 */
export function convertTensor(tensor: Tensor, dtype: DType, cast: boolean, doing: string): Tensor {
  const { dtype: found, shape } = tensor;
  if (found === dtype) return tensor;
  const refuse = (why: string, options?: ErrorOptions) =>
    typeError("INVALID_DTYPE", `Cannot ${doing}: ${dtype} wanted, ${found} found${why}`, options);
  if (found === "string" || dtype === "string") throw refuse("");
  const numbers = numbersOf(tensor);
  if (cast && dtype === "bool") {
    return Tensor.from(Array.from<unknown, boolean>(numbers, (value) => value != 0), shape, dtype);
  }
  const to = plain(cast && !isFloat(dtype) ? cut(numbers) : numbers, dtype);
  let converted: Tensor;
  try {
    converted = Tensor.from(to, shape, dtype);
  } catch (cause) {
    const why = (cause as Error).message.replace(/^.*?: /, "");
    throw refuse(`, and ${why}${cast ? "" : "; --cast cuts fractions off"}`, { cause });
  }
  const changed = cast ? -1 : firstChange(numbers, numbersOf(converted));
  if (changed < 0) return converted;
  throw refuse(`, and element ${changed}, ${numbers[changed]}, would be rounded; --cast allows it`);
}
