import { ffi, type Pointer } from "../../../ffi/mod.ts";
import { wakeWord } from "../../../ffi/futex.ts";
import { libc } from "../../../ffi/libc.ts";
import { offset } from "../../../ffi/native_memory.ts";
import { type ErrorMessage, errorMessage } from "../../protocol/remote_error.ts";
import type { BoardClient } from "../board/clients.ts";
import {
  ANSWER,
  FLAG,
  HEAP_OFFSET,
  LANE,
  LANE_BYTE_LENGTH,
  SLOT,
  SLOTS,
  slotWord,
} from "../../protocol/lane_layout.ts";

const MSG_DONTWAIT = 0x40, MSG_NOSIGNAL = 0x4000;
const ONE = 1n;

const encoder = new TextEncoder();

/** A client's lane as one executor sees it. The client may write anywhere in it at any time. */
export class LaneView {
  readonly address: bigint;
  /** Which of the clients that had this place it is of. */
  readonly generation: number;
  /** The client's process; 0 where that is not known. */
  readonly pid: number;
  readonly words: Uint32Array;
  readonly #bell: number;
  #isToRing = false;
  readonly #base: Pointer;
  /** Where each slot's last word lies, for waking who waits for it. */
  readonly #answered: (Pointer | undefined)[] = new Array(SLOTS);

  constructor({ address, generation, bell, pid }: BoardClient) {
    this.address = address;
    this.pid = pid;
    this.generation = generation;
    this.#bell = bell;
    this.#base = offset({ address }, 0);
    this.words = new Uint32Array(ffi.view(this.#base, HEAP_OFFSET));
  }

  /** Whether some bytes lie in the heap. */
  contains(byteOffset: number, byteLength: number): boolean {
    return byteOffset >= HEAP_OFFSET && byteOffset + byteLength <= LANE_BYTE_LENGTH;
  }

  /** The pointer some bytes into it. */
  at(byteOffset: number): Pointer {
    return offset(this, byteOffset);
  }

  /** A part of it. */
  view(byteOffset: number, byteLength: number): ArrayBuffer {
    return ffi.view(this.at(byteOffset), byteLength);
  }

  /** Answers a request: from here on the slot is its client's. {@linkcode LaneView.ring} is then due. */
  answer(
    slot: number,
    sequence: number,
    executor: number,
    status: number,
    answerByteLength: number,
    queueMicros: number,
    runMicros: number,
    batchSize: number,
  ): void {
    const { words } = this, at = slotWord(slot);
    words[at + SLOT.status] = status;
    words[at + SLOT.answerByteLength] = answerByteLength;
    words[at + SLOT.ranBy] = executor;
    words[at + SLOT.queueMicros] = queueMicros;
    words[at + SLOT.runMicros] = runMicros;
    words[at + SLOT.batchSize] = batchSize;
    Atomics.store(words, at + SLOT.answered, sequence);
    if ((Atomics.load(words, at + SLOT.flags) & FLAG.bell) !== 0) this.#isToRing = true; // it may have come to want it
    if (Atomics.load(words, LANE.waiting) !== 0) {
      wakeWord(this.#answered[slot] ??= this.at((at + SLOT.answered) * 4), 1);
    }
  }

  /** Rings the doorbell socket, where the client's event loop waits for what was answered: once for all of a batch. */
  ring(): void {
    if (!this.#isToRing) return;
    this.#isToRing = false;
    if (Atomics.exchange(this.words, LANE.bell, 1) !== 0) return;
    libc().send(this.#bell, this.#base, ONE, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  /** Writes why a request failed into the room for its answer. Returns how many bytes that took. */
  #writeError(slot: number, { name, code, message }: ErrorMessage): number {
    const at = slotWord(slot), byteOffset = this.words[at + SLOT.answerOffset]!;
    const capacity = this.words[at + SLOT.answerCapacity]!;
    if (!this.contains(byteOffset, capacity)) return 0;
    let most = capacity - JSON.stringify({ name, code, message: "" }).length, bytes: Uint8Array;
    do {
      bytes = encoder.encode(JSON.stringify({ name, code, message: message.slice(0, Math.max(0, most)) }));
      most = most * capacity / bytes.length | 0;
    } while (bytes.length > capacity && most > 0);
    if (bytes.length > capacity) return 0;
    new Uint8Array(this.view(byteOffset, capacity)).set(bytes);
    this.words[at + SLOT.answerRevision]!++;
    return bytes.length;
  }

  /** Answers that a request failed. */
  fail(slot: number, sequence: number, executor: number, error: unknown): void {
    const answerByteLength = this.#writeError(slot, errorMessage(error));
    this.answer(slot, sequence, executor, ANSWER.failed, answerByteLength, 0, 0, 1);
  }
}
