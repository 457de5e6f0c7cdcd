import { arrayOf, type NumericData, type NumericDType } from "../tensor/dtype.ts";
import type { CallInput, CallOutput } from "./call_parts.ts";
import type { ClientLane, Piece } from "./client_lane.ts";
import { describedByteLength, HEAD_BYTE_LENGTH } from "./description.ts";

/** Room for the answer's description: dimensions of each output, and the words of an error. */
const MOST_ANSWER_RANK = 16, ERROR_BYTES = 2048;

const ALIGNMENT = 64;
const aligned = (byteLength: number): number => Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;

/** What one request has of a lane: its description, inputs that are copied, the answer's description; and outputs. */
export class FrameMemory {
  readonly #lane: ClientLane;
  #piece: Piece | undefined;
  #buffer: ArrayBuffer | undefined;
  #room: Piece | undefined;
  #roomBuffer: ArrayBuffer | undefined;
  #answerOffset = 0;

  constructor(lane: ClientLane) {
    this.#lane = lane;
  }

  /** Bytes of the lane that it has. */
  get byteLength(): number {
    return (this.#piece?.byteLength ?? 0) + (this.#room?.byteLength ?? 0);
  }

  /** Where the request's description lies. */
  get requestOffset(): number {
    return this.#piece!.byteOffset;
  }

  /** Where the answer's description goes, and how much room there is. */
  get answerOffset(): number {
    return this.#answerOffset;
  }

  get answerCapacity(): number {
    return this.#piece!.byteOffset + this.#piece!.byteLength - this.#answerOffset;
  }

  /** The request's description, with what follows it. */
  get request(): Uint8Array {
    return new Uint8Array(this.#buffer!);
  }

  /** The answer's bytes, copied: the worker may change them. */
  answer(byteLength: number): Uint8Array {
    const start = this.#answerOffset - this.#piece!.byteOffset;
    return new Uint8Array(this.#buffer!, start, Math.min(byteLength, this.answerCapacity)).slice();
  }

  /** An output's elements. */
  elements({ port, byteOffset }: CallOutput, byteLength: number): NumericData {
    const constructor = arrayOf(port.dtype as NumericDType), start = byteOffset - this.#room!.byteOffset;
    return new constructor(this.#roomBuffer!, start, byteLength / constructor.BYTES_PER_ELEMENT);
  }

  /** An output's bytes, copied. */
  bytes({ byteOffset }: CallOutput, byteLength: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#roomBuffer!, byteOffset - this.#room!.byteOffset, byteLength).slice();
  }

  /** Makes room for a request, and says where its inputs are copied to. @throws {MemoryError} MEMORY_BUDGET */
  allocate(requestBytes: number, inputs: readonly CallInput[], outputs: readonly CallOutput[]): void {
    const shapes = outputs.map(() => ({ shape: new Array<number>(MOST_ANSWER_RANK) }));
    const answerBytes = Math.max(ERROR_BYTES, HEAD_BYTE_LENGTH + describedByteLength(shapes));
    const inputBytes = inputs.reduce((sum, { byteLength, shared }) => sum + (shared ? 0 : aligned(byteLength)), 0);
    const piece = this.#piece;
    this.#piece = undefined;
    this.#piece = this.#reallocate(piece, aligned(requestBytes) + inputBytes + aligned(answerBytes));
    const buffer = this.#buffer = this.#lane.view(this.#piece), start = this.#piece.byteOffset;
    let at = start + aligned(requestBytes);
    for (const input of inputs) {
      if (input.shared !== undefined) continue;
      input.byteOffset = at;
      if (input.encoded !== undefined) {
        new Uint8Array(buffer, at - start).set(input.encoded);
      } else {
        const constructor = arrayOf(input.port.dtype as NumericDType);
        input.data = new constructor(buffer, at - start, input.byteLength / constructor.BYTES_PER_ELEMENT);
      }
      at += aligned(input.byteLength);
    }
    this.#answerOffset = at;
  }

  /** Makes room for outputs that are copied, and says where they go. @throws {MemoryError} MEMORY_BUDGET */
  allocateRoom(outputs: readonly CallOutput[]): void {
    const total = outputs.reduce((sum, { shared, capacity }) => sum + (shared ? 0 : aligned(capacity)), 0);
    const room = this.#room;
    this.#room = undefined;
    this.#room = this.#reallocate(room, Math.max(ALIGNMENT, total));
    this.#roomBuffer = this.#lane.view(this.#room);
    let at = this.#room.byteOffset;
    for (const output of outputs) {
      if (output.shared !== undefined) continue;
      output.byteOffset = at;
      at += aligned(output.capacity);
    }
  }

  /** A piece of so many bytes: the one that there is, if it is not much too large. */
  #reallocate(piece: Piece | undefined, byteLength: number): Piece {
    if (piece !== undefined && piece.byteLength >= byteLength && piece.byteLength <= 4 * byteLength) return piece;
    if (piece !== undefined) this.#lane.free(piece);
    return this.#lane.allocate(byteLength);
  }

  /** Gives it back. */
  dispose(): void {
    if (this.#piece) this.#lane.free(this.#piece);
    if (this.#room) this.#lane.free(this.#room);
    this.#piece = this.#room = undefined;
  }
}
