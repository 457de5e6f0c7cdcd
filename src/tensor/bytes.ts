/**
 * A tensor as bytes, for where memory cannot be shared. `BYTES.md` beside this file specifies them.
 *
 * @module
 */
import { typeError } from "../errors.ts";
import {
  arrayOf,
  type DType,
  dtypeOfOnnx,
  elementByteLength,
  type NumericData,
  type NumericDType,
  onnxElementType,
} from "./dtype.ts";
import type { Data } from "./storage.ts";

/** "CLTN" */
const MAGIC = 0x4e544c43, VERSION = 1;
/** Bytes that are there whatever the rank, which tell how many there are in all; and what the data is aligned to. */
const FIXED = 24, ALIGNMENT = 64, MAX_RANK = 255;

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function headerByteLength(rank: number): number {
  return Math.ceil((FIXED + 8 * rank) / ALIGNMENT) * ALIGNMENT;
}

function invalid(why: string): TypeError {
  return typeError("INVALID_BYTES", `Cannot read a tensor from bytes: ${why}`);
}

function encodeStrings(strings: readonly string[]): Uint8Array {
  const texts = strings.map((text) => encoder.encode(text));
  const bytes = new Uint8Array(texts.reduce((sum, text) => sum + 4 + text.length, 0)),
    view = new DataView(bytes.buffer);
  let at = 0;
  for (const text of texts) {
    view.setUint32(at, text.length, true);
    bytes.set(text, at + 4);
    at += 4 + text.length;
  }
  return bytes;
}

/** Writes a tensor of row-major data. */
export function encodeTensor(dtype: DType, shape: readonly number[], data: Data): Uint8Array<ArrayBuffer> {
  if (shape.length > MAX_RANK) {
    throw typeError(
      "INVALID_SHAPE",
      `Cannot write a tensor as bytes: at most ${MAX_RANK} dimensions, ${shape.length} found`,
    );
  }
  const payload = Array.isArray(data)
    ? encodeStrings(data)
    : new Uint8Array((data as NumericData).buffer, (data as NumericData).byteOffset, (data as NumericData).byteLength);
  const start = headerByteLength(shape.length), bytes = new Uint8Array(start + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  bytes.set([VERSION, onnxElementType(dtype), shape.length], 4);
  view.setBigUint64(8, BigInt(bytes.length), true);
  view.setBigUint64(16, BigInt(payload.length), true);
  shape.forEach((length, axis) => view.setBigUint64(FIXED + 8 * axis, BigInt(length), true));
  bytes.set(payload, start);
  return bytes;
}

/**
 * How many bytes a tensor has that begins with these, or `undefined` when they are too few to tell: 24 are enough.
 * For reading from a stream: what is read must then be bounded by what the reader wants to hold.
 *
 * @throws {TypeError} INVALID_BYTES when no tensor begins so
 *
 * @example
 * ```ts
 * import { Tensor, tensorByteLength } from "@coload/onnx";
 *
 * const bytes = Tensor.from(new Float32Array(100)).toBytes();
 * console.log(tensorByteLength(bytes.subarray(0, 24))); // 464
 * ```
 */
export function tensorByteLength(prefix: Uint8Array): number | undefined {
  if (!(prefix instanceof Uint8Array)) throw invalid(`a Uint8Array wanted, ${typeof prefix} found`);
  if (prefix.length < FIXED) return undefined;
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw invalid("they do not begin as a tensor of Coload does");
  if (prefix[4] !== VERSION) throw invalid(`version ${VERSION} wanted, version ${prefix[4]} found`);
  const total = view.getBigUint64(8, true), payload = view.getBigUint64(16, true);
  if (total > BigInt(Number.MAX_SAFE_INTEGER) || total !== payload + BigInt(headerByteLength(prefix[6]!))) {
    throw invalid(`their lengths contradict each other: ${total} in all, ${payload} of data, ${prefix[6]} dimensions`);
  }
  return Number(total);
}

/** What bytes say a tensor is. */
export interface DecodedTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Data;
}

/** Reads a tensor, whose bytes must be all there and no more. @throws {TypeError} INVALID_BYTES */
export function decodeTensor(given: Uint8Array<ArrayBuffer>): DecodedTensor {
  if (!(given instanceof Uint8Array)) {
    throw invalid(`a Uint8Array wanted, ${given === null ? "null" : typeof given} found`);
  }
  const isPlain = given.buffer instanceof ArrayBuffer && !given.buffer.resizable;
  const bytes = isPlain ? given : new Uint8Array(given); // as others may change or resize it
  const total = tensorByteLength(bytes);
  if (total !== bytes.length) {
    throw invalid(`${total ?? `at least ${FIXED}`} bytes wanted, ${bytes.length} found`);
  }
  const dtype = dtypeOfOnnx(bytes[5]!), rank = bytes[6]!, start = headerByteLength(rank);
  if (dtype === undefined) throw invalid(`${bytes[5]} is the number of no dtype`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const shape = Array.from({ length: rank }, (_, axis) => Number(view.getBigUint64(FIXED + 8 * axis, true)));
  const size = shape.includes(0) ? 0 : shape.reduce((product, length) => product * length, 1);
  const payload = bytes.subarray(start), elementBytes = elementByteLength(dtype);
  if (
    shape.some((length) => !Number.isSafeInteger(length)) || !Number.isSafeInteger(size * Math.max(1, elementBytes))
  ) {
    throw invalid(`shape [${shape.join(", ")}] has too many elements`);
  }
  if (dtype === "string") return { dtype, shape, data: decodeStrings(payload, size) };
  if (payload.length !== size * elementBytes) {
    throw invalid(
      `${size * elementBytes} bytes of data wanted for ${dtype} [${shape.join(", ")}], ${payload.length} found`,
    );
  }
  return { dtype, shape, data: numbers(dtype, payload) };
}

function numbers(dtype: NumericDType, payload: Uint8Array<ArrayBuffer>): NumericData {
  const constructor = arrayOf(dtype), elementBytes = constructor.BYTES_PER_ELEMENT;
  const aligned = payload.byteOffset % elementBytes === 0 ? payload : new Uint8Array(payload); // a Buffer's slice copies nothing
  return new constructor(aligned.buffer, aligned.byteOffset, aligned.length / elementBytes);
}

function decodeStrings(payload: Uint8Array<ArrayBuffer>, size: number): string[] {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength), strings: string[] = [];
  let at = 0;
  for (; strings.length < size; at += 4) {
    if (at + 4 > payload.length) throw invalid(`${size} strings wanted, ${strings.length} found`);
    const length = view.getUint32(at, true), end = at + 4 + length;
    if (end > payload.length) throw invalid(`string ${strings.length} ends beyond the data`);
    try {
      strings.push(decoder.decode(payload.subarray(at + 4, end)));
    } catch {
      throw invalid(`string ${strings.length} is not UTF-8`);
    }
    at += length;
  }
  if (at !== payload.length) throw invalid(`${payload.length - at} bytes follow the last string`);
  return strings;
}
