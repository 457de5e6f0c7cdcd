import { rangeError, typeError } from "../../errors.ts";
import type { ValueInfo } from "../../ort/type_info.ts";
import { type DType, isDType } from "../../tensor/dtype.ts";
import { elementCount } from "../../tensor/shape.ts";
import type { Flags } from "./flags.ts";

/** What a model wants as one input, with all that the command line says of it. */
export interface Wanted {
  readonly name: string;
  readonly dtype: DType;
  /** Sizes; a name or -1 for one that is open. Empty for a scalar, and for any rank. */
  readonly shape: readonly (number | string)[];
  /** Whether the command line says the shape, so that elements of another one take it. */
  readonly reshape: boolean;
}

/** Whether a dimension has no size. */
export function isOpen(size: number | string): boolean {
  return typeof size === "string" || size < 0;
}

/** A shape as messages show it: names, and a question mark for what has none. */
export function showSizes(shape: readonly (number | string)[]): string {
  return `[${shape.map((size) => size === -1 ? "?" : size).join(", ")}]`;
}

/** @throws {TypeError} INVALID_ARGUMENT for a dimension that no input has */
export function checkDimensions(inputs: readonly ValueInfo[], dim: Flags["dim"]): void {
  const open = new Set(inputs.flatMap(({ shape }) => shape.filter((size) => typeof size === "string")));
  for (const name of dim?.keys() ?? []) {
    if (open.has(name)) continue;
    const found = open.size === 0 ? "the model has none with a name" : `those of the model are ${[...open].join(", ")}`;
    throw typeError("INVALID_ARGUMENT", `Cannot set dimension "${name}": ${found}`);
  }
}

/**
 * @throws {TypeError} NOT_A_TENSOR for an input that nothing on a command line can be
 * @throws {TypeError} INVALID_ARGUMENT for a shape that the model does not take
 */
export function wantedOf({ name, kind, dtype, shape }: ValueInfo, flags: Pick<Flags, "dim" | "shape">): Wanted {
  if (kind !== "tensor" || !isDType(dtype)) {
    throw typeError("NOT_A_TENSOR", `Cannot feed "${name}": the model wants ${dtype}, which no file or literal gives`);
  }
  const declared = shape.map((size) => flags.dim?.get(String(size)) ?? size), given = flags.shape?.get(name);
  if (given === undefined) return { name, dtype, shape: declared, reshape: false };
  if (!takes(declared, given)) {
    const found = `${showSizes(declared)} wanted, ${showSizes(given)} found`;
    throw typeError("INVALID_ARGUMENT", `Cannot set the shape of "${name}": ${found}`);
  }
  return { name, dtype, shape: given, reshape: true };
}

function takes(declared: Wanted["shape"], found: readonly number[]): boolean {
  if (declared.length === 0) return true;
  return declared.length === found.length && declared.every((size, i) => isOpen(size) || size === found[i]);
}

/**
 * The shape that elements of a shape take as an input: their own, that which the command line says, or for a single
 * number as many ones as the input has dimensions.
 *
 * @throws {RangeError} INVALID_SHAPE when the model wants another
 */
export function fitShape(wanted: Wanted, found: readonly number[], from: string): readonly number[] {
  const { name, shape, reshape } = wanted, fixed = shape as readonly number[];
  if (reshape && elementCount(fixed) === elementCount(found)) return fixed;
  if (!reshape && takes(shape, found)) return found;
  if (found.length === 0 && shape.every((size) => isOpen(size) || size === 1)) return shape.map(() => 1);
  throw rangeError(
    "INVALID_SHAPE",
    `Cannot feed "${name}" with ${from}: shape ${showSizes(shape)} wanted, ${showSizes(found)} found`,
  );
}

/** A shape all of whose sizes are known. @throws {TypeError} INVALID_ARGUMENT when some are not */
export function closedShape({ name, shape }: Wanted, doing: string): readonly number[] {
  if (!shape.some(isOpen)) return shape as readonly number[];
  const example = shape.map((size) => isOpen(size) ? 1 : size).join(",");
  const named = shape.find((size) => typeof size === "string");
  const mend = `--shape ${name}=${example}` + (named === undefined ? "" : ` or --dim ${named}=1`);
  throw typeError(
    "INVALID_ARGUMENT",
    `Cannot ${doing} "${name}": its shape ${showSizes(shape)} is open; say it as in ${mend}`,
  );
}
