import { ffi, type Pointer } from "../../ffi/mod.ts";
import { ort } from "./environment.ts";
import { count, CStrings, pointerIn, scratch } from "./scratch.ts";
import { check } from "./status.ts";

const ONNX_TYPE_TENSOR = 1;

const encoder = new TextEncoder();

const sizes = (shape: readonly number[]): BigInt64Array<ArrayBuffer> => {
  const dims = new BigInt64Array(Math.max(1, shape.length));
  shape.forEach((size, i) => dims[i] = BigInt(size));
  return dims;
};

/** An OrtValue over memory that the caller owns and keeps until the value is released. */
export function createTensorValue(
  data: Pointer | null,
  byteLength: number,
  shape: readonly number[],
  elementType: number,
): Pointer {
  const { api, cpuMemory } = ort(), dims = sizes(shape), rank = BigInt(shape.length);
  const out = scratch().a, length = BigInt(byteLength);
  check(
    api.CreateTensorWithDataAsOrtValue(cpuMemory, data, length, dims, rank, elementType, out),
    `make a tensor of shape [${shape.join(", ")}]`,
  );
  return pointerIn()!;
}

/** An OrtValue of strings, which are copied into it. */
export function createStringValue(strings: readonly string[], shape: readonly number[], elementType: number): Pointer {
  const { api, allocator } = ort(), rank = BigInt(shape.length);
  const doing = `make a string tensor of shape [${shape.join(", ")}]`;
  const texts = new CStrings(strings.map((text) => hasNul(text) ? "" : text));
  check(api.CreateTensorAsOrtValue(allocator, sizes(shape), rank, elementType, scratch().a), doing);
  const value = pointerIn()!;
  try {
    check(api.FillStringTensor(value, texts.pointers, BigInt(strings.length)), doing);
    strings.forEach((text, i) => {
      if (hasNul(text)) writeString(value, i, encoder.encode(text), doing);
    });
    return value;
  } catch (error) {
    api.ReleaseValue(value);
    throw error;
  }
}

/** Whether C would take a text to end before its end. */
const hasNul = (text: string): boolean => text.includes("\0");

/** Writes one string of a value, whatever bytes it is of. */
function writeString(value: Pointer, index: number, bytes: Uint8Array, doing: string): void {
  const { api } = ort(), { a } = scratch();
  check(api.GetResizedStringTensorElementBuffer(value, BigInt(index), BigInt(bytes.length), a), doing);
  new Uint8Array(ffi.view(pointerIn()!, bytes.length)).set(bytes);
}

/** A tensor that came out of a run. */
export interface TensorValueInfo {
  readonly elementType: number;
  readonly shape: readonly number[];
  readonly size: number;
}

const readShape = (dims: BigInt64Array, rank: number): { shape: readonly number[]; size: number } => {
  const shape: number[] = new Array(rank);
  let size = 1;
  for (let i = 0; i < rank; i++) size *= shape[i] = Number(dims[i]);
  return { shape: Object.freeze(shape), size };
};

/** The element type and shape of a value that is a tensor; `undefined` for any other, and for an empty optional. */
export function describeTensorValue(value: Pointer): TensorValueInfo | undefined {
  const { api } = ort(), { a, b, c, i32 } = scratch(), doing = "read an output";
  check(api.HasValue(value, a), doing);
  if (i32[0] === 0) return undefined; // which has no type either: asking for it crashes
  check(api.GetValueType(value, a), doing);
  if (i32[0] !== ONNX_TYPE_TENSOR) return undefined;
  if (api.GetTensorElementTypeAndShapeDataReference) {
    check(api.GetTensorElementTypeAndShapeDataReference(value, a, b, c), doing);
    const elementType = i32[0]!, dims = pointerIn(1), rank = count(2);
    const values = rank === 0 ? new BigInt64Array(0) : new BigInt64Array(ffi.view(dims!, rank * 8));
    return { elementType, ...readShape(values, rank) };
  }
  check(api.GetTensorTypeAndShape(value, a), doing);
  const info = pointerIn()!;
  try {
    const elementType = (check(api.GetTensorElementType(info, a), doing), i32[0]!);
    const rank = (check(api.GetDimensionsCount(info, a), doing), count());
    const dims = new BigInt64Array(Math.max(1, rank));
    check(api.GetDimensions(info, dims, BigInt(rank)), doing);
    return { elementType, ...readShape(dims, rank) };
  } finally {
    api.ReleaseTensorTypeAndShapeInfo(info);
  }
}

/** Where a tensor's numbers lie; they live as long as the value. */
export function tensorData(value: Pointer): Pointer | null {
  check(ort().api.GetTensorMutableData(value, scratch().a), "read an output");
  return pointerIn();
}

/** A string tensor's strings, copied. */
export function tensorStrings(value: Pointer, size: number): string[] {
  const { api } = ort(), doing = "read a string output";
  if (size === 0) return [];
  const byteLength = (check(api.GetStringTensorDataLength(value, scratch().a), doing), count());
  const bytes = new Uint8Array(Math.max(1, byteLength)), offsets = new BigUint64Array(size);
  check(api.GetStringTensorContent(value, bytes, BigInt(byteLength), offsets, BigInt(size)), doing);
  const decoder = new TextDecoder(), end = (i: number): number => i + 1 < size ? Number(offsets[i + 1]) : byteLength;
  return Array.from({ length: size }, (_, i) => decoder.decode(bytes.subarray(Number(offsets[i]), end(i))));
}
