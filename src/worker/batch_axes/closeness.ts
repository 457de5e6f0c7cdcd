import { Buffer } from "node:buffer";
import { fromBFloat16 } from "../../tensor/bfloat16.ts";
import type { DType, NumericData, NumericDType } from "../../tensor/dtype.ts";
import { arrayOf } from "../../tensor/dtype.ts";

/** Elements of a dtype, as the bytes of row-major tensors. */
export interface Elements {
  readonly dtype: DType;
  readonly bytes: Uint8Array;
}

function numbersOf({ dtype, bytes }: Elements): ArrayLike<number> {
  const { buffer } = new Uint8Array(bytes); // a copy: of elements that need not be aligned
  const data: NumericData = new (arrayOf(dtype as NumericDType))(buffer);
  if (dtype === "bfloat16") return fromBFloat16(data as Uint16Array<ArrayBuffer>);
  return data instanceof BigInt64Array || data instanceof BigUint64Array ? Array.from(data, Number) : data;
}

/** Whether any of the elements is a finite number. */
export function hasNumbers(elements: Elements): boolean {
  return Array.prototype.some.call(numbersOf(elements), Number.isFinite);
}

/** How far apart elements are, of equal count: the largest difference, and of which largest number. */
export function distance(wanted: Elements, found: Elements): { difference: number; largest: number } {
  const x = numbersOf(wanted), y = numbersOf(found);
  let difference = 0, largest = 0;
  for (let i = 0; i < x.length; i++) {
    if (Number.isFinite(x[i])) largest = Math.max(largest, Math.abs(x[i]!));
    if (Object.is(x[i], y[i])) continue;
    const apart = Math.abs(x[i]! - y[i]!);
    difference = Math.max(difference, Number.isNaN(apart) ? Infinity : apart);
  }
  return { difference, largest };
}

/**
 * Whether elements are the same: to the bit, or with a tolerance, floats that differ by no more than that part of the
 * largest one wanted.
 */
export function agree(wanted: Elements, found: Elements, tolerance: number | undefined): boolean {
  if (Buffer.compare(wanted.bytes, found.bytes) === 0) return true;
  if (tolerance === undefined || !/float/.test(wanted.dtype) || wanted.bytes.length !== found.bytes.length) {
    return false;
  }
  const { difference, largest } = distance(wanted, found);
  return difference <= tolerance * largest;
}

/** Whether elements are other numbers: not zeros of another sign, and further apart than a tolerance lets them be. */
export function areApart(one: Elements, other: Elements, tolerance: number | undefined): boolean {
  if (one.bytes.length !== other.bytes.length) return true;
  const { difference, largest } = distance(one, other);
  return difference > (tolerance ?? 0) * largest;
}
