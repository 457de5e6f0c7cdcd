import { typeError } from "../../errors.ts";
import { type DType, isDType } from "../../tensor/dtype.ts";
import { elementCount, showShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { numbersOf } from "./convert.ts";

type Value = number | bigint | boolean | string;

/** Elements that JSON gives, whose dtype it may leave to the model. */
export interface JsonElements {
  readonly values: readonly Value[];
  readonly shape: readonly number[];
  readonly dtype: DType | undefined;
}

/** What a number that JSON has no way to write is called in it. */
const UNWRITABLE: Readonly<Record<string, number>> = { NaN, Infinity, "-Infinity": -Infinity };

/** Digits beyond what a number holds exactly. */
const MANY_DIGITS = /[0-9]{16}/;

/** The value, with whole numbers that a number cannot hold as bigints. */
function parse(text: string): unknown {
  if (!MANY_DIGITS.test(text)) return JSON.parse(text);
  const exact = (_key: string, value: unknown, context?: { source: string }): unknown => {
    const source = context?.source;
    return typeof value === "number" && source !== undefined && !Number.isSafeInteger(value) &&
        /^-?[0-9]+$/.test(source)
      ? BigInt(source)
      : value;
  };
  return JSON.parse(text, exact);
}

function wrong(from: string, why: string, options?: ErrorOptions): TypeError {
  return typeError("INVALID_BYTES", `Cannot read ${from}: ${why}`, options);
}

/** The shape of nested arrays by the first of each. */
function shapeOf(value: unknown): number[] {
  return Array.isArray(value) ? [value.length, ...(value.length === 0 ? [] : shapeOf(value[0]))] : [];
}

function flatten(value: unknown, shape: readonly number[], axis: number, to: Value[], from: string): void {
  if (axis < shape.length) {
    if (!Array.isArray(value) || value.length !== shape[axis]) {
      const found = Array.isArray(value) ? `one of ${value.length}` : JSON.stringify(value)?.slice(0, 40);
      throw wrong(from, `an array of ${shape[axis]} wanted at depth ${axis}, as the first one is, ${found} found`);
    }
    for (const item of value) flatten(item, shape, axis + 1, to, from);
  } else if (["number", "bigint", "boolean", "string"].includes(typeof value)) to.push(value as Value);
  else {
    const found = value === null ? "null" : Array.isArray(value) ? "an array" : "an object";
    throw wrong(from, `a number, boolean or string wanted, ${found} found`);
  }
}

function elements(value: unknown, from: string): { values: Value[]; shape: number[] } {
  const shape = shapeOf(value), values: Value[] = [];
  flatten(value, shape, 0, values, from);
  return { values, shape };
}

/**
 * Reads a value, nested arrays, or `{ dtype, shape, data }`, where `data` is flat or nested. Whole numbers keep their
 * digits.
 *
 * @throws {TypeError} INVALID_BYTES when it is no JSON or no such thing
 */
export function decodeJson(text: string, from: string): JsonElements {
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    const hint = /\b(NaN|Infinity)\b/.test(text) ? '; NaN and Infinity are written as strings, "NaN"' : "";
    throw wrong(from, `it is not JSON: ${(cause as Error).message}${hint}`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { ...elements(value, from), dtype: undefined };
  }
  const { dtype, shape, data } = value as Record<string, unknown>;
  if (data === undefined) throw wrong(from, "an array or { dtype, shape, data } wanted, an object without data found");
  if (dtype !== undefined && (typeof dtype !== "string" || !isDType(dtype))) {
    throw wrong(from, `it names a dtype ${JSON.stringify(dtype)}, which there is not`);
  }
  const found = elements(data, from);
  if (shape === undefined) return { ...found, dtype };
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw wrong(from, `it names a shape ${JSON.stringify(shape)?.slice(0, 40)}, which is none`);
  }
  if (elementCount(shape) !== found.values.length) {
    const wanted = `${elementCount(shape)} elements of shape ${showShape(shape)} wanted`;
    throw wrong(from, `${wanted}, ${found.values.length} found`);
  }
  return { values: found.values, shape, dtype };
}

/**
 * A tensor of elements from JSON. Floats may be "NaN", "Infinity" and "-Infinity", whole numbers may be strings.
 *
 * @throws {TypeError | RangeError} INVALID_DTYPE, OUT_OF_RANGE for elements that the dtype does not have
 */
export function tensorOfJson({ values, shape }: JsonElements, dtype: DType): Tensor {
  if (dtype === "string") return Tensor.from(values, shape, dtype);
  const isFloat = dtype.includes("float");
  const number = (value: Value): Value => {
    if (typeof value !== "string") return value;
    if (isFloat) return Object.hasOwn(UNWRITABLE, value) ? UNWRITABLE[value]! : value;
    return /^-?[0-9]+$/.test(value) ? BigInt(value) : value;
  };
  return Tensor.from(values.map(number), shape, dtype);
}

/** Elements to a piece of text. */
const AT_ONCE = 1 << 16;

/** A tensor as JSON, in pieces: `{ dtype, shape, data }`, flat, as {@linkcode decodeJson} reads it. */
export function* encodeJson(tensor: Tensor): Generator<string> {
  const { dtype, shape, size } = tensor;
  yield `{"dtype":"${dtype}","shape":[${shape.join(",")}],"data":[`;
  const data = dtype === "string" ? tensor.contiguous().data as string[] : numbersOf(tensor);
  const word = (value: unknown): string => {
    if (typeof value === "string") return JSON.stringify(value);
    if (dtype === "bool") return String(value === 1);
    if (Object.is(value, -0)) return "-0";
    return typeof value === "bigint" || Number.isFinite(value) ? String(value) : `"${value}"`;
  };
  for (let start = 0; start < size; start += AT_ONCE) {
    yield (start > 0 ? "," : "") + Array.from(data.slice(start, start + AT_ONCE) as ArrayLike<unknown>, word).join(",");
  }
  yield "]}";
}
