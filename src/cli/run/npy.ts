import { dump, type DumpOptions, parse } from "npyjs";
import { typeError } from "../../errors.ts";
import { fromBFloat16 } from "../../tensor/bfloat16.ts";
import type { DataOf, DType, NumericArray, NumericDType } from "../../tensor/dtype.ts";
import { gather } from "../../tensor/gather.ts";
import { elementCount, rowMajorStrides, showShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";

type NpyType = NonNullable<DumpOptions["dtype"]>;

/** NumPy's names; it has none for bfloat16. */
const TYPES: Readonly<Record<Exclude<NumericDType, "bfloat16">, NpyType>> = {
  float32: "f4",
  float64: "f8",
  float16: "f2",
  int8: "i1",
  int16: "i2",
  int32: "i4",
  int64: "i8",
  uint8: "u1",
  uint16: "u2",
  uint32: "u4",
  uint64: "u8",
  bool: "b1",
};
const DTYPES = new Map<string, DType>(Object.entries(TYPES).map(([dtype, type]) => [type, dtype as DType]));

function unusable(from: string, why: string, options?: ErrorOptions): TypeError {
  return typeError("INVALID_BYTES", `Cannot read ${from}: ${why}`, options);
}

function parsed(bytes: ArrayBuffer, from: string): ReturnType<typeof parse> {
  try {
    return parse(bytes, { convertFloat16: false });
  } catch (cause) {
    const { message } = cause as Error, bigEndian = /dtype: >(.*)/.exec(message)?.[1];
    if (bigEndian !== undefined) {
      throw unusable(from, `${message}, which is big-endian; astype("<${bigEndian}") makes it little-endian`, {
        cause,
      });
    }
    const known = /dtype: |npy/.test(message) ? message : `it is no whole .npy file (${message})`;
    throw unusable(from, known, { cause });
  }
}

/**
 * Reads a `.npy` file of any version: numbers and booleans, little-endian, in either order.
 *
 * @throws {TypeError} INVALID_BYTES when it is none, is cut short, or holds what no tensor does
 */
export function decodeNpy(bytes: Uint8Array<ArrayBuffer>, from: string): Tensor {
  const isWhole = bytes.byteLength === bytes.buffer.byteLength;
  const { data, shape, dtype: type, fortranOrder } = parsed(isWhole ? bytes.buffer : bytes.slice().buffer, from);
  const dtype = DTYPES.get(type);
  if (dtype === undefined) throw unusable(from, `its elements are ${type}; numbers and booleans wanted`);
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw unusable(from, `it says its shape is ${showShape(shape)}`);
  }
  const elements = dtype === "bool" ? Uint8Array.from(data as Uint8Array) : data as Uint8Array, { length } = elements;
  if (elementCount(shape) !== length) {
    throw unusable(from, `${elementCount(shape)} elements of shape ${showShape(shape)} wanted, ${length} found`);
  }
  if (!fortranOrder) return Tensor.from(elements, shape, dtype);
  const strides = rowMajorStrides(shape.toReversed()).toReversed();
  return Tensor.from(
    gather(dtype, elements as NumericArray as DataOf[NumericDType], shape, strides) as NumericArray,
    shape,
    dtype,
  );
}

/** @throws {TypeError} UNSUPPORTED for strings */
export function checkNpy(dtype: string, name: string): void {
  if (dtype !== "string") return;
  throw typeError("UNSUPPORTED", `Cannot write output "${name}" as .npy: its elements are strings; .json takes them`);
}

/** A tensor as a `.npy` file; bfloat16, which NumPy does not have, as float32. @throws as {@linkcode checkNpy} */
export function encodeNpy(tensor: Tensor, name: string): Uint8Array<ArrayBuffer> {
  const { dtype, shape } = tensor, isBFloat16 = dtype === "bfloat16";
  checkNpy(dtype, name);
  const { data } = tensor.contiguous();
  const array = isBFloat16 ? fromBFloat16(data as DataOf["bfloat16"]) : data as DataOf["float32"];
  return new Uint8Array(
    dump(array, [...shape], { dtype: TYPES[isBFloat16 ? "float32" : dtype as keyof typeof TYPES] }),
  );
}
