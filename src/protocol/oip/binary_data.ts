/**
 * The elements of a tensor as bytes: little-endian, one after another; each string with a u32 of its bytes before it.
 *
 * @module
 */
import { arrayOf, elementByteLength, type NumericData, type NumericDType } from "../../tensor/dtype.ts";
import { heapStorage, makeTensor } from "../../tensor/internal.ts";
import { elementCount, showShape } from "../../tensor/shape.ts";
import type { Data } from "../../tensor/storage.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { datatypeOf } from "./datatypes.ts";
import type { DescribedTensor } from "./fields.ts";
import { badRequest } from "./oip_error.ts";

const LENGTH_BYTES = 4;
/** Up to so many characters of ASCII are put together one by one, which is quicker than a call of a decoder. */
const MOST_SHORT = 12;
const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @throws {OipError} 400 unless so many bytes are those of the tensor; of strings they are not known before */
export function checkByteLength({ what, dtype, shape }: DescribedTensor, byteLength: number): void {
  if (dtype === "string") return;
  const wanted = elementCount(shape) * elementByteLength(dtype);
  if (byteLength === wanted) return;
  const message = `Cannot read ${what}: ${datatypeOf(dtype)} ${showShape(shape)} has ${wanted} bytes`;
  throw badRequest(`${message}, ${byteLength} found`);
}

function readNumbers(dtype: NumericDType, bytes: Uint8Array<ArrayBuffer>): NumericData {
  const constructor = arrayOf(dtype), elementBytes = constructor.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % elementBytes === 0 ? bytes : new Uint8Array(bytes); // a Buffer's slice copies nothing
  return new constructor(aligned.buffer, aligned.byteOffset, aligned.length / elementBytes);
}

function checkBooleans(what: string, bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i]! > 1) throw badRequest(`Cannot read ${what}: element ${i} is ${bytes[i]}, 0 or 1 wanted in BOOL`);
  }
}

function readShort(bytes: Uint8Array, start: number, end: number): string | undefined {
  let text = "";
  for (let at = start; at < end; at++) {
    if (bytes[at]! > 0x7f) return undefined;
    text += String.fromCharCode(bytes[at]!);
  }
  return text;
}

function readString(bytes: Uint8Array, start: number, end: number): string {
  const short = end - start <= MOST_SHORT ? readShort(bytes, start, end) : undefined;
  return short ?? decoder.decode(bytes.subarray(start, end));
}

function readStrings({ what, shape }: DescribedTensor, bytes: Uint8Array): string[] {
  const size = elementCount(shape), strings: string[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cutShort = (): Error => badRequest(`Cannot read ${what}: element ${strings.length} ends beyond its bytes`);
  let at = 0;
  while (strings.length < size) {
    if (at + LENGTH_BYTES > bytes.length) throw cutShort();
    const start = at + LENGTH_BYTES;
    at = start + view.getUint32(at, true);
    if (at > bytes.length) throw cutShort();
    try {
      strings.push(readString(bytes, start, at));
    } catch (cause) {
      throw badRequest(`Cannot read ${what}: element ${strings.length} is not UTF-8`, { cause });
    }
  }
  if (at === bytes.length) return strings;
  throw badRequest(`Cannot read ${what}: ${bytes.length - at} bytes follow its ${size} elements`);
}

/** A tensor of its bytes, which it borrows where its elements are aligned in them. @throws {OipError} 400 */
export function decodeBinaryData(tensor: DescribedTensor, bytes: Uint8Array<ArrayBuffer>): Tensor {
  const { what, dtype, shape } = tensor;
  checkByteLength(tensor, bytes.length);
  if (dtype === "bool") checkBooleans(what, bytes);
  const data: Data = dtype === "string" ? readStrings(tensor, bytes) : readNumbers(dtype, bytes);
  return makeTensor(dtype, shape, heapStorage(data));
}

function stringBytes(strings: readonly string[]): Uint8Array<ArrayBuffer> {
  const texts = strings.map((text) => encoder.encode(text));
  const bytes = new Uint8Array(texts.reduce((sum, { length }) => sum + LENGTH_BYTES + length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const text of texts) {
    view.setUint32(at, text.length, true);
    bytes.set(text, at + LENGTH_BYTES);
    at += LENGTH_BYTES + text.length;
  }
  return bytes;
}

/** A tensor's bytes: borrowed from it, but for strings and for what is not row-major. */
export function encodeBinaryData(tensor: Tensor): Uint8Array<ArrayBuffer> {
  const data: Data = tensor.contiguous().data;
  return Array.isArray(data) ? stringBytes(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
