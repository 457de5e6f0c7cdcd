import { MemoryError } from "../errors.ts";
import { arrayOf, type DType, elementByteLength, type NumericData } from "./dtype.ts";
import { elementCount } from "./shape.ts";
import type { Data } from "./storage.ts";

/** By bytes of an element, the arrays whose elements are bits: copying a float may change what kind of NaN it is. */
const BITS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array } as const;

function emptyCopy(dtype: DType, size: number): Data {
  try {
    return dtype === "string" ? new Array<string>(size) : new (arrayOf(dtype))(size);
  } catch (cause) {
    const neededBytes = size * elementByteLength(dtype);
    const message = `Cannot copy a tensor of ${size} elements of ${dtype}: ${(cause as Error).message}`;
    throw new MemoryError("OUT_OF_MEMORY", message, { cause, neededBytes });
  }
}

function bitsOf(data: Data): ArrayLike<unknown> & { [index: number]: unknown } {
  if (Array.isArray(data)) return data;
  const { buffer, byteOffset, length, BYTES_PER_ELEMENT } = data as NumericData;
  return new BITS[BYTES_PER_ELEMENT as keyof typeof BITS](buffer, byteOffset, length);
}

/** A row-major copy of elements that lie at these strides from the start of `source`. @throws {MemoryError} OUT_OF_MEMORY */
export function gather(
  dtype: DType,
  source: Data,
  shape: readonly number[],
  strides: readonly number[],
): Data {
  const size = elementCount(shape), copy = emptyCopy(dtype, size);
  const from = bitsOf(source), to = bitsOf(copy), index = new Array<number>(shape.length).fill(0);
  for (let at = 0, place = 0; at < size; at++) {
    to[at] = from[place];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      place -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return copy;
}
