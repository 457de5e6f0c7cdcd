import { typeError } from "../errors.ts";
import { arrayOf, type DType, type NumericArray, type NumericData, type NumericDType } from "./dtype.ts";

const NAMES: readonly (readonly [name: string, dtype: NumericDType])[] = [
  ["Float32Array", "float32"],
  ["Float64Array", "float64"],
  ["Float16Array", "float16"],
  ["Int8Array", "int8"],
  ["Int16Array", "int16"],
  ["Int32Array", "int32"],
  ["BigInt64Array", "int64"],
  ["Uint8Array", "uint8"],
  ["Uint8ClampedArray", "uint8"],
  ["Uint16Array", "uint16"],
  ["Uint32Array", "uint32"],
  ["BigUint64Array", "uint64"],
];
const BY_NAME: ReadonlyMap<string | undefined, NumericDType> = new Map(NAMES);
const BY_PROTOTYPE: ReadonlyMap<unknown, NumericDType> = new Map(
  NAMES.slice().reverse().map(([, dtype]) => [arrayOf(dtype).prototype, dtype]),
);
/** The name of any realm's typed array, whatever its prototype says; `undefined` for everything else. */
const typedArrayName = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)!.get as (this: unknown) => string | undefined;

/** The dtype that an array has by itself; `undefined` where it is no typed array that could be a tensor. */
export function dtypeOfArray(array: unknown): NumericDType | undefined {
  return BY_PROTOTYPE.get(Object.getPrototypeOf(array)) ?? BY_NAME.get(typedArrayName.call(array));
}

/** Whether the bits of a typed array are taken as another dtype's. */
export function holdsBitsOf(own: DType, dtype: DType): boolean {
  return own === dtype || (own === "uint16" && (dtype === "float16" || dtype === "bfloat16")) ||
    (own === "uint8" && dtype === "bool");
}

/**
 * The array as a tensor of the dtype borrows it: itself, or its bits in an array of the dtype's type. Memory that
 * somebody else may change, resize or take away (shared, resizable, another realm's) is copied.
 *
 * @throws {TypeError} TENSOR_DETACHED when its buffer was transferred away
 */
export function borrowArray(array: NumericArray, own: NumericDType, dtype: NumericDType): NumericData {
  const { buffer } = array, constructor = arrayOf(dtype);
  if (array.length === 0 && (buffer as ArrayBuffer).detached) {
    throw typeError("TENSOR_DETACHED", "Cannot make a tensor: the buffer of its array was transferred away");
  }
  const ours = buffer instanceof ArrayBuffer && !buffer.resizable && array instanceof (arrayOf(own) as never);
  const plain = (ours ? array : copy(array, own)) as NumericData;
  return own === dtype || arrayOf(own) === constructor
    ? plain
    : new constructor(plain.buffer, plain.byteOffset, plain.length);
}

function copy(array: NumericArray, own: NumericDType): NumericData {
  const made = new (arrayOf(own))(array.length);
  (made as Uint8Array).set(array as Uint8Array);
  return made;
}
