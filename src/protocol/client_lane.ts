import { punchHole } from "../../ffi/descriptors.ts";
import { currentCpu, waitForWord, wakeWord } from "../../ffi/futex.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { monotonicMs } from "../../ffi/monotonic_clock.ts";
import { offset } from "../../ffi/native_memory.ts";
import { MemoryError } from "../errors.ts";
import { FreeSpace } from "../memory/free_space.ts";
import { HEAP_OFFSET, LANE, LANE_BYTE_LENGTH, PAGE, PAGE_BYTE_LENGTH, SLOT, SLOTS, slotWord } from "./lane_layout.ts";

/** Pieces of a lane's heap, at most: a few for each slot. */
const PIECES = 2048;
/** A piece this large goes back to the system when it is given up. */
const PUNCH_FROM = 1 << 20;
/** Looks for an answer between two looks at the clock. */
const LOOKS_PER_CLOCK = 256;

/** Memory of a lane's heap. */
export interface Piece {
  readonly block: number;
  /** From the start of the lane. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** The memory of a lane and the worker's page, as they are mapped here. */
export interface LaneMemory {
  readonly lane: bigint;
  /** Which of the worker's clients this is. */
  readonly client: number;
  readonly page: bigint;
  /** The lane's file; `undefined` where it is this process's own memory. */
  readonly fd: number | undefined;
}

/** A lane from its client's side: its slots, its heap, and how the worker is woken. */
export class ClientLane {
  readonly words: Int32Array;
  readonly #memory: LaneMemory;
  readonly #page: Int32Array;
  readonly #doorbell: Pointer;
  readonly #space: FreeSpace = new FreeSpace(HEAP_OFFSET, LANE_BYTE_LENGTH - HEAP_OFFSET, PIECES);
  readonly #freeSlots: number[] = Array.from({ length: SLOTS }, (_, i) => SLOTS - 1 - i);
  #isClosed = false;
  #submitted = 0;
  readonly #answered: (Pointer | undefined)[] = new Array(SLOTS);

  constructor(memory: LaneMemory) {
    this.#memory = memory;
    this.words = new Int32Array(ffi.view(offset({ address: memory.lane }, 0), HEAP_OFFSET));
    this.#doorbell = offset({ address: memory.page }, 0);
    this.#page = new Int32Array(ffi.view(this.#doorbell, PAGE_BYTE_LENGTH));
  }

  /** A slot that nobody uses; `undefined` where there is none. */
  takeSlot(): number | undefined {
    return this.#freeSlots.pop();
  }

  /** Gives a slot back, whose last request is answered. */
  giveSlot(slot: number): void {
    this.#freeSlots.push(slot);
  }

  /** Memory of the heap. @throws {MemoryError} MEMORY_BUDGET */
  allocate(byteLength: number): Piece {
    const block = this.#space.take(byteLength);
    if (block !== undefined) {
      return { block, byteOffset: this.#space.byteOffset(block), byteLength: this.#space.byteLength(block) };
    }
    const availableBytes = this.#space.largestFreeBytes;
    const message = `Cannot make room for ${byteLength} bytes in the memory shared with the worker: its largest free ` +
      `piece of ${LANE_BYTE_LENGTH} bytes has ${availableBytes}; use tensors of a SharedMemoryAllocator`;
    throw new MemoryError("MEMORY_BUDGET", message, { neededBytes: byteLength, availableBytes });
  }

  /** Gives memory of the heap back. */
  free({ block, byteOffset, byteLength }: Piece): void {
    this.#space.give(block);
    const { fd } = this.#memory;
    if (this.#isClosed) return; // the memory is gone, and its descriptor another's
    if (fd !== undefined && byteLength >= PUNCH_FROM) punchHole(fd, byteOffset, byteLength);
  }

  /** Makes it touch the lane's file no more, which is closed. */
  close(): void {
    this.#isClosed = true;
  }

  /** A piece's bytes. */
  view({ byteOffset, byteLength }: Piece): ArrayBuffer {
    return ffi.view(offset({ address: this.#memory.lane }, byteOffset), byteLength);
  }

  /** Hands a slot's request over, which is written, and wakes the worker if nobody looks there. */
  submit(slot: number): void {
    const { client, fd } = this.#memory, page = this.#page;
    if (fd === undefined) this.#noteNear(currentCpu());
    this.words[slotWord(slot) + SLOT.order] = ++this.#submitted | 0;
    Atomics.or(this.words, LANE.pending + (slot >> 5), 1 << (slot & 31));
    Atomics.or(page, PAGE.attention + (client >> 5), 1 << (client & 31));
    if (Atomics.load(page, PAGE.looking) !== 0 || Atomics.load(page, PAGE.asleep) === 0) return;
    Atomics.add(page, PAGE.doorbell, 1);
    wakeWord(this.#doorbell, 1);
  }

  /** Wakes an executor for a request that is about to come, if none is awake, and there is another core for it. */
  expect(): void {
    const page = this.#page, cpu = currentCpu();
    if (page[PAGE.cpu] === cpu || Atomics.load(page, PAGE.looking) !== 0 || Atomics.load(page, PAGE.asleep) === 0) {
      return;
    }
    this.#noteNear(cpu);
    Atomics.add(page, PAGE.doorbell, 1);
    wakeWord(this.#doorbell, 1);
  }

  #noteNear(cpu: number): void {
    if (this.#page[PAGE.near] !== 1 + cpu) this.#page[PAGE.near] = 1 + cpu;
  }

  /** Whether the worker takes no more requests. */
  get isDraining(): boolean {
    return Atomics.load(this.words, LANE.draining) !== 0;
  }

  /** Takes a slot's request back, if the worker has not taken it: then it never runs. */
  withdraw(slot: number): boolean {
    const bit = 1 << (slot & 31);
    return (Atomics.and(this.words, LANE.pending + (slot >> 5), ~bit) & bit) !== 0;
  }

  /** Whether a slot's request of this sequence is answered. */
  isAnswered(slot: number, sequence: number): boolean {
    return Atomics.load(this.words, slotWord(slot) + SLOT.answered) >>> 0 === sequence;
  }

  /**
   * Looks for an answer for a while, where the worker runs on another core.
   *
   * @param milliseconds for how long
   */
  look(slot: number, sequence: number, milliseconds: number): boolean {
    if (this.#page[PAGE.cpu] === currentCpu()) return this.isAnswered(slot, sequence);
    const { words } = this, at = slotWord(slot) + SLOT.answered, wanted = sequence | 0;
    for (let until = 0;;) {
      for (let i = 0; i < LOOKS_PER_CLOCK; i++) if (Atomics.load(words, at) === wanted) return true;
      const now = monotonicMs();
      if (until === 0) until = now + milliseconds;
      else if (now >= until) return false;
    }
  }

  /** Blocks until a slot is answered, at most for so many ms. */
  sleep(slot: number, sequence: number, milliseconds: number): void {
    const { words } = this, at = slotWord(slot) + SLOT.answered;
    Atomics.store(words, LANE.waiting, 1);
    const before = Atomics.load(words, at);
    if (before >>> 0 !== sequence) {
      waitForWord(this.#answered[slot] ??= this.#pointer(at * 4), before >>> 0, milliseconds);
    }
    Atomics.store(words, LANE.waiting, 0);
  }

  /** Notes that the doorbell was heard: from here on it rings again. */
  heard(): void {
    Atomics.store(this.words, LANE.bell, 0);
  }

  #pointer(byteOffset: number): Pointer {
    return offset({ address: this.#memory.lane }, byteOffset);
  }
}
