/**
 * Fields of the JSON of a request or a response, each checked. `null` is as good as absent, as some clients write all
 * that they do not say.
 *
 * @module
 */
import { type DType, elementByteLength } from "../../tensor/dtype.ts";
import { elementCount, showShape } from "../../tensor/shape.ts";
import { MAX_RANK } from "../limits.ts";
import { badRequest, type OipError, showValue } from "./oip_error.ts";

/** An object of JSON. */
export type Fields = Readonly<Record<string, unknown>>;

/** What is known of a tensor before its elements are. */
export interface DescribedTensor {
  /** As messages name it. */
  readonly what: string;
  readonly dtype: DType;
  /** Checked. */
  readonly shape: readonly number[];
}

const NONE: Fields = Object.freeze({});

/** Whether a field says anything. */
export function isThere(found: unknown): boolean {
  return found !== undefined && found !== null;
}

function wrong(what: string, field: string, wanted: string, found: unknown): OipError {
  return badRequest(`Cannot read ${what}: ${wanted} wanted as ${field}, ${showValue(found)} found`);
}

/** An object. @throws {OipError} 400 */
export function readFields(what: string, found: unknown): Fields {
  if (typeof found === "object" && found !== null && !Array.isArray(found)) return found as Fields;
  throw badRequest(`Cannot read ${what}: an object wanted, ${showValue(found)} found`);
}

/** The object `parameters`, empty where it is absent. @throws {OipError} 400 */
export function readParameters(what: string, found: unknown): Fields {
  if (!isThere(found)) return NONE;
  if (typeof found === "object" && !Array.isArray(found)) return found as Fields;
  throw wrong(what, "parameters", "an object", found);
}

/** An array. @throws {OipError} 400 */
export function readList(what: string, field: string, found: unknown): readonly unknown[] {
  if (Array.isArray(found)) return found;
  throw wrong(what, field, "an array", found);
}

/** A text. @throws {OipError} 400 */
export function readText(what: string, field: string, found: unknown): string {
  if (typeof found === "string") return found;
  throw wrong(what, field, "a string", found);
}

/** A text that may be absent. @throws {OipError} 400 */
export function readOptionalText(what: string, field: string, found: unknown): string | undefined {
  return isThere(found) ? readText(what, field, found) : undefined;
}

/** A number from 0 up that may be absent. @throws {OipError} 400 */
export function readCount(what: string, field: string, found: unknown): number | undefined {
  if (!isThere(found)) return undefined;
  if (Number.isSafeInteger(found) && (found as number) >= 0) return found as number;
  throw wrong(what, field, "a whole number from 0 up, below 2^53,", found);
}

/** A flag that may be absent. @throws {OipError} 400 */
export function readFlag(what: string, field: string, found: unknown): boolean | undefined {
  if (!isThere(found)) return undefined;
  if (typeof found === "boolean") return found;
  throw wrong(what, field, "true or false", found);
}

/** The shape of a tensor whose bytes can be counted. @throws {OipError} 400 */
export function readShape(what: string, dtype: DType, found: unknown): readonly number[] {
  const sizes = readList(what, "shape", found), shape: number[] = [];
  if (sizes.length > MAX_RANK) {
    throw badRequest(`Cannot read ${what}: at most ${MAX_RANK} dimensions wanted, ${sizes.length} found`);
  }
  for (const size of sizes) {
    if (!Number.isSafeInteger(size) || (size as number) < 0) {
      throw wrong(what, `dimension ${shape.length} of its shape`, "a whole number from 0 up", size);
    }
    shape.push((size as number) + 0); // of which -0 makes 0
  }
  try {
    elementCount(shape, Math.max(1, elementByteLength(dtype)));
  } catch (cause) {
    throw badRequest(`Cannot read ${what}: its shape ${showShape(shape)} has too many elements`, { cause });
  }
  return shape;
}
