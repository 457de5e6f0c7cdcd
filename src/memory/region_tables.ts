import type { ProcessIdentity } from "../../ffi/process_identity.ts";
import {
  BLOCK,
  BLOCK_BYTE_LENGTH,
  BLOCKS_OFFSET,
  CLOSED,
  MADE_OFFSET,
  OPEN,
  type RegionLayout,
  RETURNED_OFFSET,
  SLOT,
  SLOT_BYTE_LENGTH,
  SLOTS,
  SLOTS_OFFSET,
  STATE_OFFSET,
} from "./region_layout.ts";

/** Bit of a block's holders that stands for nobody: a reference on its way holds it. */
const TRANSIT = 1n << 63n;
const ALL = 2n ** 64n - 1n;
const SLOT_HALVES = SLOT_BYTE_LENGTH / 4, BLOCK_HALVES = BLOCK_BYTE_LENGTH / 4, BLOCK_WORDS = BLOCK_BYTE_LENGTH / 8;
const FREE = 0, USED = 1;
/** Deadlines of a block to which no reference is on its way, and of one whose time is just being ended. */
const NOT_SENT = 0n, OVER = 1n;

/** What a block's entry says. Others write there: what is read is copied, and checked against the layout. */
export interface BlockEntry {
  readonly generation: number;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/**
 * The part of a region that its participants change: who they are, and for each block who holds it. Every step is one
 * atomic operation, so that whoever is killed between two leaves a state that the next one can go on from.
 */
export class RegionTables {
  readonly layout: RegionLayout;
  readonly #halves: Int32Array;
  readonly #words: BigUint64Array;

  /** @param buffer the region from its start to its data, at least */
  constructor(layout: RegionLayout, buffer: ArrayBuffer) {
    this.layout = layout;
    this.#halves = new Int32Array(buffer, 0, layout.dataOffset / 4);
    this.#words = new BigUint64Array(buffer, 0, layout.dataOffset / 8);
  }

  /** Makes any later use an error, before the memory goes. */
  detach(): void {
    (this.#halves.buffer as ArrayBuffer).transfer(0);
  }

  /** The bit of a participant. */
  static bitOf(slot: number): bigint {
    return 1n << BigInt(slot);
  }

  /** Whether the owner said that it makes no more blocks. */
  get closed(): boolean {
    return Atomics.load(this.#halves, STATE_OFFSET / 4) !== OPEN;
  }

  /** Says that nobody makes blocks here any more; whether that is new. */
  close(): boolean {
    return Atomics.exchange(this.#halves, STATE_OFFSET / 4, CLOSED) === OPEN;
  }

  /** Whether a participant's entry is taken, be it by somebody dead. */
  isUsed(slot: number): boolean {
    return Atomics.load(this.#halves, this.#slot(slot) + SLOT.state / 4) !== FREE;
  }

  /** Takes a participant's entry, whose lock the caller holds. */
  use(slot: number, { pid, startTime, namespace }: ProcessIdentity, fd: number): void {
    const at = this.#slot(slot);
    this.#halves[at + SLOT.pid / 4] = pid;
    this.#halves[at + SLOT.fd / 4] = fd;
    this.#words[(at + SLOT.startTime / 4) / 2] = BigInt(startTime);
    this.#words[(at + SLOT.namespace / 4) / 2] = BigInt(namespace);
    Atomics.store(this.#halves, at + SLOT.state / 4, USED);
  }

  /** Who took a participant's entry last, and by which descriptor it has the region's file. */
  participant(slot: number): { readonly identity: ProcessIdentity; readonly fd: number } {
    const at = this.#slot(slot), word = (offset: number) => Number(this.#words[(at + offset / 4) / 2]);
    const identity = {
      pid: this.#halves[at + SLOT.pid / 4]!,
      startTime: word(SLOT.startTime),
      namespace: word(SLOT.namespace),
    };
    return { identity, fd: this.#halves[at + SLOT.fd / 4]! };
  }

  /** Gives a participant's entry back. */
  leave(slot: number): void {
    Atomics.store(this.#halves, this.#slot(slot) + SLOT.state / 4, FREE);
  }

  /** A block's entry, copied. */
  entry(index: number): BlockEntry {
    const at = BLOCKS_OFFSET / 8 + index * BLOCK_WORDS;
    return {
      generation: this.#generation(index),
      byteOffset: Number(this.#words[at + BLOCK.byteOffset / 8]),
      byteLength: Number(this.#words[at + BLOCK.byteLength / 8]),
    };
  }

  /** The participants that hold a block. */
  holdersOf(index: number): ProcessIdentity[] {
    const holders = Atomics.load(this.#words, this.#holders(index)), found: ProcessIdentity[] = [];
    for (let slot = 0; slot < SLOTS; slot++) {
      if ((holders & RegionTables.bitOf(slot)) !== 0n) found.push(this.participant(slot).identity);
    }
    return found;
  }

  /** Whether anybody, or a reference on its way, holds a block. */
  isHeld(index: number): boolean {
    return Atomics.load(this.#words, this.#holders(index)) !== 0n;
  }

  /** Makes a block, held by its owner. Returns its generation. */
  make(index: number, byteOffset: number, byteLength: number, bit: bigint): number {
    if (index >= this.#made) Atomics.store(this.#halves, MADE_OFFSET / 4, index + 1);
    const at = BLOCKS_OFFSET / 8 + index * BLOCK_WORDS, half = BLOCKS_OFFSET / 4 + index * BLOCK_HALVES;
    this.#words[at + BLOCK.byteOffset / 8] = BigInt(byteOffset);
    this.#words[at + BLOCK.byteLength / 8] = BigInt(byteLength);
    Atomics.store(this.#words, at + BLOCK.deadline / 8, NOT_SENT);
    Atomics.add(this.#halves, half + BLOCK.generation / 4, 1);
    Atomics.store(this.#words, this.#holders(index), bit); // last: from here on others can hold it
    return this.#generation(index);
  }

  /** Adds a holder to a block that has one. Without it, nobody may look at the entry. */
  hold(index: number, bit: bigint): boolean {
    const at = this.#holders(index);
    for (let found = Atomics.load(this.#words, at); found !== 0n;) {
      const before = Atomics.compareExchange(this.#words, at, found, found | bit);
      if (before === found) return true;
      found = before;
    }
    return false;
  }

  /** Takes holders away, by their bits. Whether they were the last: then nobody can hold the block any more. */
  release(index: number, bits: bigint): boolean {
    const before = Atomics.and(this.#words, this.#holders(index), ALL ^ bits);
    return before !== 0n && (before & ~bits) === 0n;
  }

  /**
   * Makes a reference on its way hold a block, which the caller holds, until a time in ms since 1970. Not where another
   * one is on its way, as one bit stands for one reference. Whether it was done.
   */
  send(index: number, deadline: number): boolean {
    this.expire(index, Date.now());
    const before = Atomics.compareExchange(this.#words, this.#deadline(index), NOT_SENT, BigInt(Math.ceil(deadline)));
    if (before !== NOT_SENT) return false;
    Atomics.or(this.#words, this.#holders(index), TRANSIT);
    return true;
  }

  /** Ends the way of a reference to a block, which the caller holds. */
  receive(index: number): void {
    const deadline = Atomics.load(this.#words, this.#deadline(index));
    Atomics.and(this.#words, this.#holders(index), ALL ^ TRANSIT);
    Atomics.compareExchange(this.#words, this.#deadline(index), deadline, NOT_SENT);
  }

  /** Whether a reference to a block is on its way, and its time is not over. */
  isSent(index: number, now: number): boolean {
    const isOnItsWay = (Atomics.load(this.#words, this.#holders(index)) & TRANSIT) !== 0n;
    return isOnItsWay && Number(Atomics.load(this.#words, this.#deadline(index))) > now;
  }

  /** Ends the way of a reference whose time is over. Whether it was the last holder. */
  expire(index: number, now: number): boolean {
    const at = this.#deadline(index), deadline = Atomics.load(this.#words, at);
    if (deadline === NOT_SENT || Number(deadline) > now) return false;
    if (Atomics.compareExchange(this.#words, at, deadline, OVER) !== deadline) return false; // received, or expired
    const isFree = this.release(index, TRANSIT);
    Atomics.compareExchange(this.#words, at, OVER, NOT_SENT);
    return isFree;
  }

  /** Takes everybody away but references on their way. For who is alone. */
  releaseAllHolders(index: number): boolean {
    return this.release(index, ALL ^ TRANSIT);
  }

  /** Tells the owner of a block that nobody holds any more. */
  giveBack(index: number): void {
    const next = BLOCKS_OFFSET / 4 + index * BLOCK_HALVES + BLOCK.next / 4, at = RETURNED_OFFSET / 8;
    for (let head = Atomics.load(this.#words, at);;) {
      this.#halves[next] = Number(head & 0xffffffffn);
      const pushed = (((head >> 32n) + 1n) & 0xffffffffn) << 32n | BigInt(index + 1);
      const before = Atomics.compareExchange(this.#words, at, head, pushed);
      if (before === head) return;
      head = before;
    }
  }

  /** Whether any block was given back. */
  get hasReturned(): boolean {
    return this.#halves[RETURNED_OFFSET / 4] !== 0;
  }

  /**
   * Takes what was given back. A chain that leads out of the table ends there, and one that is longer than the table is
   * a circle: the caller finds what it lost by looking at all blocks.
   */
  takeReturned(take: (index: number) => void): void {
    const at = RETURNED_OFFSET / 8;
    let head = Atomics.load(this.#words, at);
    for (;;) {
      const emptied = (((head >> 32n) + 1n) & 0xffffffffn) << 32n;
      const before = Atomics.compareExchange(this.#words, at, head, emptied);
      if (before === head) break;
      head = before;
    }
    const { blockCapacity } = this.layout;
    for (let link = Number(head & 0xffffffffn), n = 0; link > 0 && link <= blockCapacity && n < blockCapacity; n++) {
      const next = this.#halves[BLOCKS_OFFSET / 4 + (link - 1) * BLOCK_HALVES + BLOCK.next / 4]!;
      take(link - 1);
      link = next;
    }
  }

  /** Every block that was ever made and is held. */
  *heldBlocks(): Generator<number> {
    for (let index = 0; index < this.#made; index++) if (this.isHeld(index)) yield index;
  }

  /** Blocks beyond it were never made. */
  get #made(): number {
    return Math.min(Atomics.load(this.#halves, MADE_OFFSET / 4) >>> 0, this.layout.blockCapacity);
  }

  #deadline(index: number): number {
    return BLOCKS_OFFSET / 8 + index * BLOCK_WORDS + BLOCK.deadline / 8;
  }

  #generation(index: number): number {
    return Atomics.load(this.#halves, BLOCKS_OFFSET / 4 + index * BLOCK_HALVES + BLOCK.generation / 4) >>> 0;
  }

  #holders(index: number): number {
    return BLOCKS_OFFSET / 8 + index * BLOCK_WORDS + BLOCK.holders / 8;
  }

  #slot(slot: number): number {
    return SLOTS_OFFSET / 4 + slot * SLOT_HALVES;
  }
}
