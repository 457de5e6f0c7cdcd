import { typeError } from "../errors.ts";
import { arrayOf, type DType, type NumericArray, type NumericData, type NumericDType } from "./dtype.ts";

const TYPES: readonly (readonly [type: { readonly name: string; readonly prototype: object }, dtype: NumericDType])[] =
  [
    [Float32Array, "float32"],
    [Float64Array, "float64"],
    [Float16Array, "float16"],
    [Int8Array, "int8"],
    [Int16Array, "int16"],
    [Int32Array, "int32"],
    [BigInt64Array, "int64"],
    [Uint8Array, "uint8"],
    [Uint8ClampedArray, "uint8"],
    [Uint16Array, "uint16"],
    [Uint32Array, "uint32"],
    [BigUint64Array, "uint64"],
  ];
const BY_PROTOTYPE = new Map<unknown, NumericDType>(TYPES.map(([{ prototype }, dtype]) => [prototype, dtype]));
const BY_NAME = new Map<string | undefined, NumericDType>(TYPES.map(([{ name }, dtype]) => [name, dtype]));
const TypedArray: new () => NumericArray = Object.getPrototypeOf(Uint8Array);
/** The name of any realm's typed array, whatever its prototype says; `undefined` for everything else. */
const nameOf = Object.getOwnPropertyDescriptor(TypedArray.prototype, Symbol.toStringTag)!.get as (
  this: unknown,
) => string | undefined;

/** The dtype that an array has by itself; `undefined` where it is no typed array that could be a tensor. */
export function dtypeOfArray(array: object): NumericDType | undefined {
  return BY_PROTOTYPE.get(Object.getPrototypeOf(array)) ?? BY_NAME.get(nameOf.call(array));
}

/** Whether a typed array is taken as another dtype's bits. */
export function holdsBitsOf(own: DType, dtype: DType): boolean {
  return own === dtype || (own === "uint16" && (dtype === "float16" || dtype === "bfloat16")) ||
    (own === "uint8" && dtype === "bool");
}

/**
 * The array as a tensor of the dtype borrows it: itself, or an array of the dtype's own type over the same memory.
 * Memory that somebody else may change, resize or take away (shared, resizable, another realm's) is copied first.
 *
 * @throws {TypeError} TENSOR_DETACHED when its buffer was transferred away
 */
export function borrowArray(array: NumericArray, own: NumericDType, dtype: NumericDType): NumericData {
  const { buffer } = array, constructor = arrayOf(dtype);
  if (array.length === 0 && (buffer as ArrayBuffer).detached) {
    throw typeError("TENSOR_DETACHED", "Cannot make a tensor: the buffer of its array was transferred away");
  }
  const ours = array instanceof TypedArray && buffer instanceof ArrayBuffer && !buffer.resizable;
  const plain = ours ? array as NumericData : copyArray(array, own);
  return Object.getPrototypeOf(plain) === constructor.prototype
    ? plain
    : new constructor(plain.buffer, plain.byteOffset, plain.length);
}

function copyArray(array: NumericArray, own: NumericDType): NumericData {
  const copy = new (arrayOf(own))(array.length);
  (copy as Uint8Array).set(array as Uint8Array);
  return copy;
}

/** The error for what a tensor cannot be made of without a dtype, or at all. */
export function notAnArray(data: unknown): TypeError {
  return Array.isArray(data)
    ? typeError("INVALID_DTYPE", "Cannot make a tensor of a plain array: its dtype must be given")
    : typeError("INVALID_ARGUMENT", `Cannot make a tensor: a typed array or an array wanted, ${typeof data} found`);
}
