import { arrayOf, type DType, type NumericData } from "./dtype.ts";
import { elementCount } from "./shape.ts";
import type { Data } from "./storage.ts";

/** A row-major copy of elements that lie at these strides from the start of `source`. */
export function gather(
  dtype: DType,
  source: Data,
  shape: readonly number[],
  strides: readonly number[],
): Data {
  const size = elementCount(shape);
  const copy = dtype === "string" ? new Array<string>(size) : new (arrayOf(dtype))(size);
  const index = new Array<number>(shape.length).fill(0);
  for (let to = 0, from = 0; to < size; to++) {
    (copy as NumericData)[to] = (source as NumericData)[from]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return copy;
}
