/**
 * Frames on a worker's socket: +0 u32 "CLFR", +4 u32 type, +8 u32 id, +12 u32 byteLength of what follows, and that.
 *
 * @module
 */
import { WorkerError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { decodeTensor, encodeTensor, tensorByteLength } from "../tensor/bytes.ts";
import { heapStorage, makeTensor } from "../tensor/internal.ts";
import { MOST_CONTROL_BYTES, MOST_FRAME_BYTES } from "./limits.ts";

const MAGIC = 0x52464c43;
/** Bytes before the body of a frame. */
export const FRAME_HEAD = 16;

/** What a frame is. */
export const FRAME = {
  /** Client: the first frame; JSON, see `Hello`. */
  hello: 1,
  /** Worker: the answer to it; JSON, see `Welcome`. Its descriptors come with its first byte. */
  welcome: 2,
  /** Client: JSON `method` and `params`, to be answered under the same id. */
  call: 3,
  /** Worker: JSON, the result of a call. */
  result: 4,
  /** Worker: JSON `code` and `message`: a call or an inference failed; with id 0 the connection ends. */
  error: 5,
  /** Client: an inference whose tensors are bytes; see {@linkcode encodeTensors}. */
  infer: 6,
  /** Worker: its outputs. */
  outputs: 7,
  /** Client: JSON, which request to stop: `slot` and `sequence` of the lane, or the `id` of an inference. */
  cancel: 8,
} as const;

/** Bytes of a body that there is room for before they arrive. */
const FIRST_ROOM = 1 << 16;

const TYPES: readonly number[] = Object.values(FRAME);
const WITH_TENSORS: readonly number[] = [FRAME.infer, FRAME.outputs];

/** One frame. */
export interface Frame {
  readonly type: number;
  readonly id: number;
  readonly body: Uint8Array<ArrayBuffer>;
}

const encoder = new TextEncoder(), decoder = new TextDecoder("utf-8", { fatal: true });

/** A mistake of the other end's. */
export function violation(why: string, options?: ErrorOptions): WorkerError {
  return new WorkerError("WORKER_PROTOCOL", `The other end does not keep to the protocol: ${why}`, options);
}

/** A frame's bytes. */
export function encodeFrame(type: number, id: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FRAME_HEAD + body.length);
  new Uint32Array(bytes.buffer, 0, 4).set([MAGIC, type, id, body.length]);
  bytes.set(body, FRAME_HEAD);
  return bytes;
}

/** A frame of JSON. */
export function encodeJson(type: number, id: number, value: unknown): Uint8Array<ArrayBuffer> {
  return encodeFrame(type, id, encoder.encode(JSON.stringify(value)));
}

/** The object that a frame's JSON is. @throws {WorkerError} WORKER_PROTOCOL */
export function decodeJson(body: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(body));
  } catch (cause) {
    throw violation("JSON wanted in a frame", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw violation("an object wanted in a frame of JSON");
  }
  return value as Record<string, unknown>;
}

/** Puts frames together from the pieces that a stream brings. */
export class FrameReader {
  readonly #mostBytes: number;
  readonly #head = new Uint8Array(FRAME_HEAD);
  readonly #words = new Uint32Array(this.#head.buffer);
  #filled = 0;
  /** What there is of the body, with room for more: all of it is not taken before it arrives. */
  #body: Uint8Array<ArrayBuffer> | undefined;
  #bodyByteLength = 0;

  /** @param mostBytes of a frame with tensors; more is a violation */
  constructor(mostBytes: number = MOST_FRAME_BYTES) {
    this.#mostBytes = mostBytes;
  }

  /** Takes a piece in, and tells each frame that it completes. @throws {WorkerError} WORKER_PROTOCOL */
  push(piece: Uint8Array, onFrame: (frame: Frame) => void): void {
    for (let at = 0; at < piece.length;) {
      const wanted = this.#body === undefined ? FRAME_HEAD : this.#bodyByteLength;
      const count = Math.min(wanted - this.#filled, piece.length - at);
      this.#room(this.#filled + count).set(piece.subarray(at, at + count), this.#filled);
      this.#filled += count;
      at += count;
      if (this.#filled < wanted) return;
      this.#filled = 0;
      if (this.#body !== undefined) this.#end(onFrame);
      else if (this.#begin() === 0) this.#end(onFrame);
    }
  }

  /** Where the next bytes go, with so many in all. */
  #room(byteLength: number): Uint8Array {
    if (this.#body === undefined) return this.#head;
    if (byteLength <= this.#body.length) return this.#body;
    const larger = new Uint8Array(Math.min(this.#bodyByteLength, Math.max(byteLength, 2 * this.#body.length)));
    larger.set(this.#body.subarray(0, this.#filled));
    return this.#body = larger;
  }

  /** Takes a head in. Returns how many bytes follow. */
  #begin(): number {
    const [magic, type, , byteLength] = this.#words as unknown as [number, number, number, number];
    if (magic !== MAGIC) throw violation("what arrived is no frame");
    if (!TYPES.includes(type)) throw violation(`a frame of the unknown type ${type}`);
    const most = WITH_TENSORS.includes(type) ? this.#mostBytes : Math.min(MOST_CONTROL_BYTES, this.#mostBytes);
    if (byteLength > most) throw violation(`a frame of ${byteLength} bytes, where ${most} are allowed`);
    this.#body = new Uint8Array(Math.min(byteLength, FIRST_ROOM));
    return this.#bodyByteLength = byteLength;
  }

  #end(onFrame: (frame: Frame) => void): void {
    const body = this.#body!.length === this.#bodyByteLength ? this.#body! : this.#body!.slice(0, this.#bodyByteLength);
    this.#body = undefined;
    onFrame({ type: this.#words[1]!, id: this.#words[2]!, body });
  }
}

const ALIGNMENT = 64;
const padded = (byteLength: number): number => Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;

/**
 * Tensors by name with whatever else is to be said: u32 bytes of JSON, the JSON with the `names`, and from the next
 * multiple of 64 on each tensor as `BYTES.md` has it, padded to 64.
 */
export function encodeTensors(about: Record<string, unknown>, tensors: Readonly<Record<string, Tensor>>): Uint8Array {
  const names = Object.keys(tensors), text = encoder.encode(JSON.stringify({ ...about, names }));
  const parts = names.map((name) => {
    const { dtype, shape } = tensors[name]!;
    return encodeTensor(dtype, shape, tensors[name]!.contiguous().data);
  });
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + padded(length), padded(4 + text.length)));
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 4);
  let at = padded(4 + text.length);
  for (const part of parts) {
    bytes.set(part, at);
    at += padded(part.length);
  }
  return bytes;
}

/** Reads what {@linkcode encodeTensors} wrote; the tensors share the body's memory. @throws {WorkerError} WORKER_PROTOCOL */
export function decodeTensors(
  body: Uint8Array<ArrayBuffer>,
): { readonly about: Record<string, unknown>; readonly tensors: Record<string, Tensor> } {
  if (body.length < 4) throw violation("a frame of tensors without any");
  const textLength = new DataView(body.buffer, body.byteOffset).getUint32(0, true);
  if (textLength > body.length - 4) throw violation("the text of a frame of tensors ends beyond it");
  const about = decodeJson(body.subarray(4, 4 + textLength)), tensors: Record<string, Tensor> = Object.create(null);
  const { names } = about;
  if (!Array.isArray(names) || names.some((name) => typeof name !== "string")) throw violation("tensors without names");
  let at = padded(4 + textLength);
  for (const name of names as string[]) {
    if (Object.hasOwn(tensors, name)) throw violation(`two tensors "${name}"`);
    try {
      const rest = body.subarray(at), byteLength = tensorByteLength(rest) ?? Infinity;
      const { dtype, shape, data } = decodeTensor(rest.subarray(0, Math.min(byteLength, rest.length)));
      tensors[name] = makeTensor(dtype, shape, heapStorage(data));
      at += padded(byteLength);
    } catch (cause) {
      throw violation(`tensor "${name}" cannot be read: ${(cause as Error).message}`, { cause });
    }
  }
  return { about, tensors };
}
