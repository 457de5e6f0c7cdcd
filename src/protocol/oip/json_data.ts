/**
 * The elements of a tensor as JSON: the protocol's `data`.
 *
 * @module
 */
import { arrayOf, type DType, type NumericData } from "../../tensor/dtype.ts";
import { heapStorage, makeTensor } from "../../tensor/internal.ts";
import { elementCount, showShape } from "../../tensor/shape.ts";
import type { Data } from "../../tensor/storage.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { datatypeOf } from "./datatypes.ts";
import { type DescribedTensor, isThere } from "./fields.ts";
import { badRequest, type OipError, showValue } from "./oip_error.ts";

/** The most characters of a whole number that 64 bits hold. */
const MOST_DIGITS = 20;
const WITHOUT_JSON: readonly DType[] = ["float16", "bfloat16"];
const FLOATS: readonly DType[] = ["float32", "float64"];

function unfit({ what, dtype }: DescribedTensor, index: number, value: unknown): OipError {
  const hint = FLOATS.includes(dtype) ? "; NaN and Infinity are sent as binary data, binary_data_size" : "";
  const message = `Cannot read ${what}: element ${index} is ${showValue(value)}, which no ${datatypeOf(dtype)} is`;
  return badRequest(message + hint);
}

function flatten(rows: readonly unknown[], into: unknown[]): unknown[] {
  for (const row of rows) {
    if (Array.isArray(row)) flatten(row, into);
    else into.push(row);
  }
  return into;
}

/** The elements in one row, those of nested arrays and the single value that a scalar may be. */
function rowOf(what: string, data: unknown): readonly unknown[] {
  if (Array.isArray(data)) return Array.isArray(data[0]) ? flatten(data, []) : data;
  if (isThere(data) && typeof data !== "object") return [data];
  throw badRequest(`Cannot read ${what}: an array wanted as data, ${showValue(data)} found`);
}

function readFloats(tensor: DescribedTensor, row: readonly unknown[], array: Float32Array | Float64Array): void {
  for (let i = 0; i < array.length; i++) {
    const value = row[i];
    if (typeof value !== "number") throw unfit(tensor, i, value);
    array[i] = value;
    if (!Number.isFinite(array[i])) throw unfit(tensor, i, value);
  }
}

function readIntegers(tensor: DescribedTensor, row: readonly unknown[], array: Int32Array): void {
  for (let i = 0; i < array.length; i++) {
    const value = row[i];
    if (typeof value !== "number") throw unfit(tensor, i, value);
    array[i] = value;
    if (array[i] !== value) throw unfit(tensor, i, value); // it was fractional, or too large
  }
}

function readBooleans(tensor: DescribedTensor, row: readonly unknown[], array: Uint8Array): void {
  for (let i = 0; i < array.length; i++) {
    const value = row[i];
    if (value !== true && value !== false && value !== 1 && value !== 0) throw unfit(tensor, i, value);
    array[i] = Number(value);
  }
}

function readLongIntegers(
  tensor: DescribedTensor,
  row: readonly unknown[],
  array: BigInt64Array | BigUint64Array,
  exactData: () => unknown,
): void {
  const words = new Int32Array(array.buffer), least = tensor.dtype === "int64" ? -Infinity : 0;
  let exact: readonly unknown[] | undefined;
  for (let i = 0; i < array.length; i++) {
    const value = row[i];
    if (typeof value !== "number") throw unfit(tensor, i, value);
    if (Number.isSafeInteger(value) && value >= least) {
      words[2 * i] = value; // its lower 32 bits, as an array of integers takes any number
      words[2 * i + 1] = Math.floor(value / 2 ** 32);
      continue;
    }
    const digits = (exact ??= rowOf(tensor.what, exactData()))[i];
    if (typeof digits !== "string" || digits.length > MOST_DIGITS) throw unfit(tensor, i, value);
    array[i] = BigInt(digits);
    if (array[i] !== BigInt(digits)) throw unfit(tensor, i, BigInt(digits));
  }
}

function readStrings(tensor: DescribedTensor, row: readonly unknown[]): string[] {
  for (let i = 0; i < row.length; i++) if (typeof row[i] !== "string") throw unfit(tensor, i, row[i]);
  return row as string[];
}

function readElements(tensor: DescribedTensor, row: readonly unknown[], exactData: () => unknown): Data {
  if (tensor.dtype === "string") return readStrings(tensor, row);
  const array = new (arrayOf(tensor.dtype))(row.length);
  if (array instanceof Float32Array || array instanceof Float64Array) readFloats(tensor, row, array);
  else if (array instanceof BigInt64Array || array instanceof BigUint64Array) {
    readLongIntegers(tensor, row, array, exactData);
  } else if (tensor.dtype === "bool") readBooleans(tensor, row, array as Uint8Array);
  else readIntegers(tensor, row, array as Int32Array);
  return array;
}

/**
 * A tensor of its elements in JSON, flat or nested in row-major order.
 *
 * @param exactData the same `data` with whole numbers of 16 digits and more as strings, for those of 64 bits
 * @throws {OipError} 400
 */
export function decodeJsonData(tensor: DescribedTensor, data: unknown, exactData: () => unknown): Tensor {
  const { what, dtype, shape } = tensor;
  if (WITHOUT_JSON.includes(dtype)) {
    const message = `Cannot read ${what}: ${datatypeOf(dtype)} has no JSON; send it as binary data, binary_data_size`;
    throw badRequest(message);
  }
  const row = rowOf(what, data), wanted = elementCount(shape);
  if (row.length !== wanted) {
    const message = `Cannot read ${what}: shape ${showShape(shape)} wants ${wanted} elements, ${row.length} found`;
    throw badRequest(message);
  }
  return makeTensor(dtype, shape, heapStorage(readElements(tensor, row, exactData)));
}

function unsayable(what: string, which: string): OipError {
  return badRequest(`Cannot write ${what} as JSON: ${which}, which JSON has not; ask for binary data, binary_data`);
}

function floatsText(what: string, array: Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>): string {
  let hasNegativeZero = false;
  for (let i = 0; i < array.length; i++) {
    const value = array[i]!;
    if (!Number.isFinite(value)) throw unsayable(what, `element ${i} is ${value}`);
    if (value === 0 && Object.is(value, -0)) hasNegativeZero = true;
  }
  const values = Array.from(array);
  if (!hasNegativeZero) return JSON.stringify(values);
  return `[${values.map((value) => Object.is(value, -0) ? "-0.0" : value).join()}]`; // JSON.stringify makes 0 of it, and Python an integer of -0
}

/**
 * The text of a tensor's elements in JSON, flat: whole numbers with all their digits, floats so that they are read back
 * as they are.
 *
 * @throws {OipError} 400 for what has no JSON
 */
export function encodeJsonData(what: string, tensor: Tensor): string {
  const { dtype } = tensor, data: Data = tensor.contiguous().data;
  if (WITHOUT_JSON.includes(dtype)) throw unsayable(what, `it is ${datatypeOf(dtype)}`);
  if (Array.isArray(data)) return JSON.stringify(data);
  if (data instanceof Float32Array || data instanceof Float64Array) return floatsText(what, data);
  if (dtype === "bool") return `[${Array.from(data as Uint8Array, (value) => value !== 0).join()}]`;
  return `[${(data as NumericData).join()}]`;
}
