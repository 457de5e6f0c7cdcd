import { typeError } from "../errors.ts";

/** The array that a tensor's `data` is, by its dtype. */
export interface DataOf {
  /** IEEE 754 single precision. */
  float32: Float32Array<ArrayBuffer>;
  /** IEEE 754 double precision. */
  float64: Float64Array<ArrayBuffer>;
  /** IEEE 754 half precision. */
  float16: Float16Array<ArrayBuffer>;
  /** The upper 16 bits of a float32 each: see `toBFloat16` and `fromBFloat16`. */
  bfloat16: Uint16Array<ArrayBuffer>;
  /** From -128 to 127. */
  int8: Int8Array<ArrayBuffer>;
  /** From -2^15 to 2^15 - 1. */
  int16: Int16Array<ArrayBuffer>;
  /** From -2^31 to 2^31 - 1. */
  int32: Int32Array<ArrayBuffer>;
  /** From -2^63 to 2^63 - 1. */
  int64: BigInt64Array<ArrayBuffer>;
  /** From 0 to 255. */
  uint8: Uint8Array<ArrayBuffer>;
  /** From 0 to 2^16 - 1. */
  uint16: Uint16Array<ArrayBuffer>;
  /** From 0 to 2^32 - 1. */
  uint32: Uint32Array<ArrayBuffer>;
  /** From 0 to 2^64 - 1. */
  uint64: BigUint64Array<ArrayBuffer>;
  /** 0 or 1 each. */
  bool: Uint8Array<ArrayBuffer>;
  /** Text. */
  string: string[];
}

/** The type of a tensor's elements. */
export type DType = keyof DataOf;

/** The typed arrays that tensors are made from. */
export type NumericArray =
  | Float32Array
  | Float64Array
  | Float16Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** The dtype that a typed array has by itself. */
export type DTypeOf<A extends NumericArray> = A extends Float32Array ? "float32"
  : A extends Float64Array ? "float64"
  : A extends Float16Array ? "float16"
  : A extends Int8Array ? "int8"
  : A extends Int16Array ? "int16"
  : A extends Int32Array ? "int32"
  : A extends BigInt64Array ? "int64"
  : A extends Uint8Array | Uint8ClampedArray ? "uint8"
  : A extends Uint16Array ? "uint16"
  : A extends Uint32Array ? "uint32"
  : A extends BigUint64Array ? "uint64"
  : never;

/** The dtypes whose elements lie in bytes: all but string. */
export type NumericDType = Exclude<DType, "string">;

/** The array types of the numeric dtypes. */
export type NumericData = DataOf[NumericDType];

/** How a numeric dtype's array is made: zeroed, from a plain array, or over a buffer. */
export interface NumericConstructor {
  readonly prototype: object;
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): NumericData;
  new (buffer: ArrayBuffer, byteOffset?: number, length?: number): NumericData;
}

interface Traits {
  /** `ONNXTensorElementDataType` */
  readonly onnx: number;
  /** 0 for strings, which lie in no buffer. */
  readonly byteLength: number;
  readonly array: NumericConstructor | undefined;
}

const traits = (onnx: number, array?: unknown): Traits => ({
  onnx,
  byteLength: (array as NumericConstructor | undefined)?.BYTES_PER_ELEMENT ?? 0,
  array: array as NumericConstructor | undefined,
});

const TRAITS: Readonly<Record<DType, Traits>> = Object.freeze({
  __proto__: null,
  float32: traits(1, Float32Array),
  uint8: traits(2, Uint8Array),
  int8: traits(3, Int8Array),
  uint16: traits(4, Uint16Array),
  int16: traits(5, Int16Array),
  int32: traits(6, Int32Array),
  int64: traits(7, BigInt64Array),
  string: traits(8),
  bool: traits(9, Uint8Array),
  float16: traits(10, Float16Array),
  float64: traits(11, Float64Array),
  uint32: traits(12, Uint32Array),
  uint64: traits(13, BigUint64Array),
  bfloat16: traits(16, Uint16Array),
});

/** The dtypes, in the order of ONNX's numbers for them. */
export const DTYPES: readonly DType[] = Object.keys(TRAITS) as DType[];

const ONNX_DTYPES: readonly (DType | undefined)[] = Array.from(
  { length: 17 },
  (_, onnx) => DTYPES.find((dtype) => TRAITS[dtype].onnx === onnx),
);

/** Bytes of one element; 0 for strings. */
export function elementByteLength(dtype: DType): number {
  return TRAITS[dtype].byteLength;
}

/** ONNX's number for strings. */
export const STRING_ELEMENT_TYPE: number = TRAITS.string.onnx;

/** ONNX's number for a dtype: `ONNXTensorElementDataType`. */
export function onnxElementType(dtype: DType): number {
  return TRAITS[dtype].onnx;
}

/** The dtype of an ONNX number; `undefined` for those that tensors cannot have, such as complex64. */
export function dtypeOfOnnx(elementType: number): DType | undefined {
  return ONNX_DTYPES[elementType];
}

/** The constructor of a numeric dtype's array. */
export function arrayOf(dtype: NumericDType): NumericConstructor {
  return TRAITS[dtype].array!;
}

/** Whether a name is a dtype's. */
export function isDType(name: string): name is DType {
  return TRAITS[name as DType] !== undefined;
}

/** Refuses what is not a dtype. @throws {TypeError} INVALID_DTYPE */
export function checkDType(dtype: DType): void {
  if (typeof dtype !== "string" || TRAITS[dtype] === undefined) {
    const found = typeof dtype === "string" ? dtype : typeof dtype;
    throw typeError("INVALID_DTYPE", `Cannot make a tensor of ${found}: the dtypes are ${DTYPES.join(", ")}`);
  }
}
