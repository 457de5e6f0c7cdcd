import { rangeError, typeError } from "../errors.ts";

/** A shape as messages show it, whatever somebody gave for one. */
export function showShape(shape: readonly unknown[]): string {
  return `[${Array.from(shape, (length) => typeof length === "object" ? "?" : String(length)).join(", ")}]`;
}

/** A copy of a list of numbers from outside: each is read once, and nothing of the list's own is called. */
export function copyNumbers(list: readonly number[]): number[] {
  const copy: number[] = [];
  for (let i = 0, { length } = list; i < length; i++) copy.push(list[i]!);
  return copy;
}

/**
 * A copy of a shape from outside, each dimension checked.
 *
 * @throws {TypeError} INVALID_SHAPE when it is no array
 * @throws {RangeError} INVALID_SHAPE when a dimension is negative, fractional or not a number
 */
export function copyShape(shape: readonly number[]): number[] {
  if (!Array.isArray(shape)) {
    throw typeError("INVALID_SHAPE", `Cannot make a tensor: a shape is an array of numbers, found ${typeof shape}`);
  }
  const copy = copyNumbers(shape);
  for (let i = 0; i < copy.length; i++) {
    if (Number.isSafeInteger(copy[i]) && copy[i]! >= 0) {
      copy[i]! += 0; // of which -0 makes 0
      continue;
    }
    throw rangeError(
      "INVALID_SHAPE",
      `Cannot make a tensor of shape ${showShape(copy)}: dimension ${i} must be a whole number from 0 up`,
    );
  }
  return copy;
}

/** Whether two shapes are the same; no shape is not. */
export function equalShapes(one: readonly number[] | undefined, other: readonly number[] | undefined): boolean {
  if (one === other) return one !== undefined;
  if (one === undefined || other === undefined || one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}

/**
 * How many elements a shape of checked dimensions holds: 1 for a scalar's `[]`.
 *
 * @throws {RangeError} INVALID_SHAPE when they, or their bytes, are more than a number counts exactly
 */
export function elementCount(shape: readonly number[], byteLength: number = 1): number {
  let count = 1;
  for (let i = 0; i < shape.length; i++) count *= shape[i]!;
  if (count * byteLength <= Number.MAX_SAFE_INTEGER) return count;
  if (shape.includes(0)) return 0;
  throw rangeError("INVALID_SHAPE", `Cannot make a tensor of shape ${showShape(shape)}: it has too many elements`);
}

/** The strides of a shape in row-major order, in elements. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i]!;
  }
  return strides;
}

/** Whether elements of these strides lie one after another in row-major order. */
export function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== stride) return false;
    stride *= shape[i]!;
  }
  return true;
}
