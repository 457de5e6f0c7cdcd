/**
 * How a request and its answer are described in a lane: which tensors, and where their bytes lie.
 *
 * A request: +0 u16 inputs, +2 u16 outputs, +4 u32 flags (1 starts a sequence, 2 ends one), +8 u64 number of the
 * sequence, 0 for none; then its tensors, inputs first. An answer: +0 u16 0, +2 u16 outputs, +4 and +8 zero; then its
 * tensors. A tensor: +0 u16 port, +2 u8 dtype (ONNX's number), +3 u8 rank, +4 u8 place, +5 u8 length of the region's
 * name, +6 u16 0, +8 u64 byteOffset, +16 u64 byteLength, +24 u64 generation; then a u64 for each dimension, and the
 * name in ASCII, padded with zeros to a multiple of 8.
 *
 * @module
 */
import { MAX_RANK } from "./limits.ts";

/** Bytes before the first tensor, of a tensor, and of each of its dimensions. */
export const HEAD_BYTE_LENGTH = 16, TENSOR_BYTE_LENGTH = 32, DIMENSION_BYTE_LENGTH = 8;
const MOST_NAME = 95;

const padded = (byteLength: number): number => Math.ceil(byteLength / 8) * 8;

/** Where a tensor's bytes lie, or are to lie. */
export const PLACE = {
  /** In the lane, at `byteOffset` from its start. */
  lane: 0,
  /** In a region of shared memory, as a `TensorRef` says. */
  region: 1,
  /** In the lane, as `BYTES.md` of the tensors has it: for strings. */
  encoded: 2,
  /** Nowhere yet: an output that found no room, of `byteLength` bytes; or an empty optional, of none. */
  none: 3,
} as const;

/** Bits of a request's flags. */
export const SEQUENCE_FLAG = { start: 1, end: 2 } as const;

/** A tensor of a request or an answer. */
export interface TensorDescription {
  /** Its number among the model's inputs (then initializers that may be replaced), or outputs. */
  readonly port: number;
  /** ONNX's number of its dtype. */
  readonly elementType: number;
  readonly shape: readonly number[];
  /** Of {@linkcode PLACE}. */
  readonly place: number;
  readonly byteOffset: number;
  /** Of an output of a request: how many bytes there is room for. */
  readonly byteLength: number;
  readonly region?: string;
  readonly generation?: number;
}

/** What a request asks for. */
export interface RequestDescription {
  readonly inputs: readonly TensorDescription[];
  readonly outputs: readonly TensorDescription[];
  /** Of a stream whose state the worker keeps. */
  readonly sequence?: SequenceDescription | undefined;
}

/** A request's place in a sequence. */
export interface SequenceDescription {
  readonly id: number;
  readonly start: boolean;
  readonly end: boolean;
}

/** Bytes of tensors, as they are described. */
export function describedByteLength(tensors: readonly Pick<TensorDescription, "shape" | "region">[]): number {
  return tensors.reduce((sum, tensor) => sum + byteLengthOf(tensor), 0);
}

function byteLengthOf({ shape, region = "" }: Pick<TensorDescription, "shape" | "region">): number {
  return TENSOR_BYTE_LENGTH + shape.length * DIMENSION_BYTE_LENGTH + padded(region.length);
}

const setU64 = (view: DataView, at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);

function writeTensor(view: DataView, at: number, tensor: TensorDescription): number {
  const { region = "", shape } = tensor, names = at + TENSOR_BYTE_LENGTH + shape.length * DIMENSION_BYTE_LENGTH;
  view.setUint16(at, tensor.port, true);
  view.setUint8(at + 2, tensor.elementType);
  view.setUint8(at + 3, shape.length);
  view.setUint8(at + 4, tensor.place);
  view.setUint8(at + 5, region.length);
  view.setUint16(at + 6, 0, true);
  setU64(view, at + 8, tensor.byteOffset);
  setU64(view, at + 16, tensor.byteLength);
  setU64(view, at + 24, tensor.generation ?? 0);
  shape.forEach((size, axis) => setU64(view, at + TENSOR_BYTE_LENGTH + axis * DIMENSION_BYTE_LENGTH, size));
  for (let i = 0; i < padded(region.length); i++) {
    view.setUint8(names + i, i < region.length ? region.charCodeAt(i) : 0);
  }
  return at + byteLengthOf(tensor);
}

/** Bytes of a request's description. */
export function requestByteLength({ inputs, outputs }: RequestDescription): number {
  return HEAD_BYTE_LENGTH + describedByteLength(inputs) + describedByteLength(outputs);
}

/** Writes a request's description at the start of some bytes, which have room. */
export function writeRequest(bytes: Uint8Array, { inputs, outputs, sequence }: RequestDescription): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint16(0, inputs.length, true);
  view.setUint16(2, outputs.length, true);
  const { start, end } = SEQUENCE_FLAG;
  view.setUint32(4, (sequence?.start ? start : 0) | (sequence?.end ? end : 0), true);
  setU64(view, 8, sequence?.id ?? 0);
  let at = HEAD_BYTE_LENGTH;
  for (const tensor of [...inputs, ...outputs]) at = writeTensor(view, at, tensor);
}

/** Bytes of an answer's description. */
export function answerByteLength(outputs: readonly TensorDescription[]): number {
  return HEAD_BYTE_LENGTH + describedByteLength(outputs);
}

/** Writes an answer's description at the start of some bytes, which have room. */
export function writeAnswer(bytes: Uint8Array, outputs: readonly TensorDescription[]): void {
  writeRequest(bytes, { inputs: [], outputs });
}

/** Says what is wrong with a description; the caller makes an error of its own of it. */
export class MalformedDescription extends Error {
  override readonly name = "MalformedDescription";
}

/** Reads from a copy that nobody else can change. */
class Reader {
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #take(byteLength: number): number {
    const at = this.#at;
    if (at + byteLength > this.#view.byteLength) {
      throw new MalformedDescription(`${this.#view.byteLength} bytes hold no more than a part of it`);
    }
    this.#at += byteLength;
    return at;
  }

  u16(at: number): number {
    return this.#view.getUint16(at, true);
  }

  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  u64(at: number): number {
    const value = this.#view.getUint32(at + 4, true) * 2 ** 32 + this.#view.getUint32(at, true);
    if (value > Number.MAX_SAFE_INTEGER) throw new MalformedDescription("a number in it is above 2^53");
    return value;
  }

  head(): number {
    return this.#take(HEAD_BYTE_LENGTH);
  }

  tensor(): TensorDescription {
    const at = this.#take(TENSOR_BYTE_LENGTH), rank = this.#view.getUint8(at + 3);
    if (rank > MAX_RANK) throw new MalformedDescription(`a tensor in it has ${rank} dimensions`);
    const dimensions = this.#take(rank * DIMENSION_BYTE_LENGTH), nameLength = this.#view.getUint8(at + 5);
    if (nameLength > MOST_NAME) throw new MalformedDescription("the name of a region in it is too long");
    const nameAt = this.#take(padded(nameLength));
    const name = Array.from({ length: nameLength }, (_, i) => this.#view.getUint8(nameAt + i));
    return {
      port: this.u16(at),
      elementType: this.#view.getUint8(at + 2),
      shape: Object.freeze(Array.from({ length: rank }, (_, axis) => this.u64(dimensions + axis * 8))),
      place: this.#view.getUint8(at + 4),
      byteOffset: this.u64(at + 8),
      byteLength: this.u64(at + 16),
      ...(nameLength > 0 && { region: String.fromCharCode(...name), generation: this.u64(at + 24) }),
    };
  }

  end(): void {
    if (this.#at !== this.#view.byteLength) throw new MalformedDescription("bytes follow the last tensor");
  }
}

/** Reads a request's description, which must be a private copy. @throws {MalformedDescription} */
export function readRequest(bytes: Uint8Array): RequestDescription {
  const reader = new Reader(bytes), at = reader.head();
  const [inputs, outputs] = [reader.u16(at), reader.u16(at + 2)].map((count) =>
    Array.from({ length: count }, () => reader.tensor())
  ) as [TensorDescription[], TensorDescription[]];
  reader.end();
  const flags = reader.u32(at + 4), id = reader.u64(at + 8);
  if (id === 0) return { inputs, outputs };
  return {
    inputs,
    outputs,
    sequence: { id, start: (flags & SEQUENCE_FLAG.start) !== 0, end: (flags & SEQUENCE_FLAG.end) !== 0 },
  };
}

/** Reads an answer's description, which must be a private copy. @throws {MalformedDescription} */
export function readAnswer(bytes: Uint8Array): readonly TensorDescription[] {
  return readRequest(bytes).outputs;
}
