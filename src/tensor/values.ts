import { rangeError, typeError } from "../errors.ts";
import { toBFloat16 } from "./bfloat16.ts";
import { arrayOf, type DType } from "./dtype.ts";
import type { Data } from "./storage.ts";

const LIMITS: { readonly [D in DType]?: readonly [min: bigint, max: bigint] } = {
  int8: [-128n, 127n],
  int16: [-32768n, 32767n],
  int32: [-2147483648n, 2147483647n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint8: [0n, 255n],
  uint16: [0n, 65535n],
  uint32: [0n, 4294967295n],
  uint64: [0n, 2n ** 64n - 1n],
  bool: [0n, 1n],
};

function wrongType(value: unknown, index: number, dtype: DType): TypeError {
  const found = value === null ? "null" : `a ${typeof value}`;
  return typeError("INVALID_DTYPE", `Cannot make a tensor of ${dtype}: element ${index} is ${found}`);
}

function integer(value: unknown, index: number, dtype: DType): number | bigint {
  if (typeof value === "boolean" && dtype === "bool") return Number(value);
  if (typeof value !== "number" && typeof value !== "bigint") throw wrongType(value, index, dtype);
  const [min, max] = LIMITS[dtype]!;
  if ((typeof value === "bigint" || Number.isSafeInteger(value)) && value >= min && value <= max) return value;
  throw rangeError(
    "OUT_OF_RANGE",
    `Cannot make a tensor of ${dtype}: element ${index} is ${value}, not a whole number from ${min} to ${max}` +
      (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) ? " given exactly" : ""),
  );
}

function real(value: unknown, index: number, dtype: DType): number {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  throw wrongType(value, index, dtype);
}

/**
 * A copy of the first `length` plain values as a dtype's array. Floats are rounded as the dtype does it; whole numbers must fit.
 *
 * @throws {TypeError} INVALID_DTYPE when a value is of another type
 * @throws {RangeError} OUT_OF_RANGE when a value does not fit
 */
export function convertValues(values: ArrayLike<unknown>, length: number, dtype: DType): Data {
  if (dtype === "string") {
    return Array.from({ length }, (_, i) => {
      const value = values[i];
      if (typeof value !== "string") throw wrongType(value, i, dtype);
      return value;
    });
  }
  const array = new (arrayOf(dtype))(length);
  if (array instanceof BigInt64Array || array instanceof BigUint64Array) {
    for (let i = 0; i < length; i++) array[i] = BigInt(integer(values[i], i, dtype));
  } else if (LIMITS[dtype] !== undefined) {
    for (let i = 0; i < length; i++) array[i] = Number(integer(values[i], i, dtype));
  } else if (dtype === "bfloat16") {
    for (let i = 0; i < length; i++) array[i] = toBFloat16(real(values[i], i, dtype));
  } else {
    for (let i = 0; i < length; i++) array[i] = real(values[i], i, dtype);
  }
  return array;
}
