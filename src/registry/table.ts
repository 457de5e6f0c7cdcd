/**
 * A registry's state in native memory, so that every Worker of the process can see the same one. Structural changes
 * happen under the process's lock; a hit takes none.
 *
 * In bytes: 0 options (see {@linkcode HEADER}); 4096 metrics, 256 owners x 64, each written by its owner
 * alone; then 16,384 slots x 128 (see {@linkcode SLOT_U32}, {@linkcode SLOT_F64}, {@linkcode SLOT_U64}); then 256 rows
 * of reference counts, one per owner and written by it alone: its generation, then a u32 per slot. Who holds a slot is
 * the sum over the rows of owners that are not buried yet; so a Worker that dies has nothing to repair.
 *
 * @module
 */
import { functionPointer } from "../../ffi/libc.ts";
import { ffi } from "../../ffi/mod.ts";
import { mapMemory, type NativeMemory, offset, unmapMemory } from "../../ffi/native_memory.ts";
import { LEDGER, note, strike } from "../../ffi/process/ledger.ts";
import { MAX_OWNERS, owner, OWNER_STRIDE, owners, STATE, U32 } from "../../ffi/process/owner.ts";
import { processBlock } from "../../ffi/process/shared.ts";
import { rangeError } from "../errors.ts";

/** Models that one registry can hold. */
const CAPACITY = 16384;

/** What a slot holds. A slot that failed waits until every waiter has read why; a retired one until nobody uses it. */
export const SLOT_STATE = { free: 0, loading: 1, ready: 2, evicting: 3, failed: 4, retired: 5 } as const;
/** Kinds of what is held. */
export const KIND = { session: 0, object: 1 } as const;

/** Positions in a slot's 32-bit words. */
export const SLOT_U32 = {
  state: 0,
  generation: 1,
  kind: 2,
  /** Index + 1 of the owner that loads it, or whose object it is. */
  owner: 3,
  ownerGeneration: 4,
  uses: 5,
  keyHash: 6,
  aliasHash: 7,
  textByteLength: 26,
  source: 27,
  /** 1 when nobody may join it any more: its load was given up, or it was unloaded while it loaded. */
  retired: 28,
  id: 29,
} as const;
/** Positions in a slot's words as float64: bytes held, times in ms since the epoch, the number of its last use. */
export const SLOT_F64 = { bytes: 4, loadedAt: 5, lastAccessed: 6, ttlMs: 7, idleSince: 8, lastUse: 15 } as const;
/** Positions in a slot's words as u64: the OrtSession; what a load in flight needs; the slot's texts. */
export const SLOT_U64 = { session: 9, load: 10, loadByteLength: 11, text: 12 } as const;

/** Positions in the header's float64 words, `uses` counting all uses roughly; then in its 32-bit words. */
export const HEADER = { ttlMs: 0, maxMemoryBytes: 1, uses: 4, policy: 4, highWater: 6 } as const;
/** Positions in an owner's metrics. */
export const METRIC = { hits: 0, misses: 1, loads: 2, evictions: 3, failures: 4 } as const;

const SLOT_BYTE_LENGTH = 128, METRICS_AT = 4096, METRICS_STRIDE = 64;
const SLOTS_AT = METRICS_AT + MAX_OWNERS * METRICS_STRIDE, ROWS_AT = SLOTS_AT + CAPACITY * SLOT_BYTE_LENGTH;
const ROW_BYTE_LENGTH = (CAPACITY + 16) * 4, TABLE_BYTE_LENGTH = ROWS_AT + MAX_OWNERS * ROW_BYTE_LENGTH;
const GENERATION = CAPACITY;
const UNLIMITED = -1, DEFAULT_TTL_MS = 30_000;

/** 32-bit words and 64-bit words of a slot. */
const W32 = SLOT_BYTE_LENGTH / 4, W64 = SLOT_BYTE_LENGTH / 8;

const unreachable = new FinalizationRegistry<() => void>((release) => release());

function fill(memory: NativeMemory): void {
  const options = new Float64Array(ffi.view(memory.pointer, 64));
  options[HEADER.ttlMs] = DEFAULT_TTL_MS;
  options[HEADER.maxMemoryBytes] = UNLIMITED;
}

/** One registry's table, as this thread sees it. */
export class RegistryTable {
  readonly memory: NativeMemory;
  readonly options: Float64Array;
  readonly header: Uint32Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  readonly u64: BigUint64Array;
  /** This thread's reference counts, by slot. */
  readonly counts: Uint32Array;
  /** This thread's metrics. */
  readonly metrics: Float64Array;
  readonly #rows: Uint32Array[] = [];

  private constructor(memory: NativeMemory) {
    this.memory = memory;
    const head = ffi.view(memory.pointer, 64);
    this.options = new Float64Array(head);
    this.header = new Uint32Array(head);
    const slots = ffi.view(offset(memory, SLOTS_AT), CAPACITY * SLOT_BYTE_LENGTH);
    this.u32 = new Uint32Array(slots);
    this.f64 = new Float64Array(slots);
    this.u64 = new BigUint64Array(slots);
    const { index, u32 } = owner();
    this.counts = this.#row(index);
    if (this.counts[GENERATION] !== u32[U32.generation]!) {
      this.counts.fill(0);
      this.counts[GENERATION] = u32[U32.generation]!;
    }
    this.metrics = this.#metrics(index);
  }

  /** The table of the process: the same for every Worker. */
  static shared(): RegistryTable {
    return new RegistryTable(processBlock("registry", TABLE_BYTE_LENGTH, fill));
  }

  /**
   * A table of this thread's own. Its memory goes when nothing refers to it any more, nor can: a load that nobody
   * waits for, or a reference that outlives its registry, still looks at it.
   */
  static private(): RegistryTable {
    const memory = mapMemory(TABLE_BYTE_LENGTH), munmap = ffi.address(functionPointer("munmap"));
    const noted = note(munmap, memory.address, BigInt(memory.byteLength), LEDGER.callLast);
    fill(memory);
    const table = new RegistryTable(memory);
    unreachable.register(table, () => {
      strike(noted);
      unmapMemory(memory);
    });
    return table;
  }

  #row(index: number): Uint32Array {
    return this.#rows[index] ??= new Uint32Array(
      ffi.view(offset(this.memory, ROWS_AT + index * ROW_BYTE_LENGTH), ROW_BYTE_LENGTH),
    );
  }

  #metrics(index: number): Float64Array {
    return new Float64Array(ffi.view(offset(this.memory, METRICS_AT + index * METRICS_STRIDE), METRICS_STRIDE));
  }

  /** The sum of a metric over all owners there ever were. */
  metric(position: number): number {
    let sum = 0;
    for (let index = 0; index < owners()[U32.everUsed]!; index++) sum += this.#metrics(index)[position]!;
    return sum;
  }

  /** The indices of all owners that are alive, this thread's apart. */
  others(): number[] {
    const all = owners(), indices: number[] = [];
    for (let index = 0, at = 0; index < all[U32.everUsed]!; index++, at += OWNER_STRIDE) {
      if (index !== owner().index && all[at + U32.state] === STATE.alive) indices.push(index);
    }
    return indices;
  }

  /** Whether an owner, by index + 1, is still the one of that generation: alive, or dead with calls in flight. */
  isOwnedBy(indexPlusOne: number, generation: number): boolean {
    const all = owners(), at = (indexPlusOne - 1) * OWNER_STRIDE;
    return Atomics.load(all, at + U32.state) !== STATE.free && all[at + U32.generation] === generation;
  }

  /** References to a slot over all owners that are not buried. */
  references(slot: number): number {
    const all = owners(), everUsed = all[U32.everUsed]!;
    let sum = 0;
    for (let index = 0, at = 0; index < everUsed; index++, at += OWNER_STRIDE) {
      if (Atomics.load(all, at + U32.state) === STATE.free) continue;
      const row = this.#row(index);
      if (row[GENERATION] === all[at + U32.generation]) sum += Atomics.load(row, slot);
    }
    return sum;
  }

  state(slot: number): number {
    return Atomics.load(this.u32, slot * W32 + SLOT_U32.state);
  }

  setState(slot: number, state: number): void {
    Atomics.store(this.u32, slot * W32 + SLOT_U32.state, state);
  }

  /** Changes the state if it is what it is believed to be. */
  changeState(slot: number, from: number, to: number): boolean {
    return Atomics.compareExchange(this.u32, slot * W32 + SLOT_U32.state, from, to) === from;
  }

  getU32(slot: number, position: number): number {
    return this.u32[slot * W32 + position]!;
  }

  setU32(slot: number, position: number, value: number): void {
    this.u32[slot * W32 + position] = value;
  }

  getF64(slot: number, position: number): number {
    return this.f64[slot * W64 + position]!;
  }

  setF64(slot: number, position: number, value: number): void {
    this.f64[slot * W64 + position] = value;
  }

  getU64(slot: number, position: number): bigint {
    return this.u64[slot * W64 + position]!;
  }

  setU64(slot: number, position: number, value: bigint): void {
    this.u64[slot * W64 + position] = value;
  }

  /** The slots that are not free. */
  *used(): Generator<number> {
    for (let slot = 0; slot < this.header[HEADER.highWater]!; slot++) {
      if (this.state(slot) !== SLOT_STATE.free) yield slot;
    }
  }

  /** Takes a free slot, zeroed but for its generation. Under the lock. @throws {RangeError} OUT_OF_RANGE */
  take(): number {
    const { header } = this;
    let slot = 0;
    while (slot < header[HEADER.highWater]! && this.state(slot) !== SLOT_STATE.free) slot++;
    if (slot === CAPACITY) {
      throw rangeError("OUT_OF_RANGE", `Cannot load one more model: a registry holds ${CAPACITY}`);
    }
    const generation = this.getU32(slot, SLOT_U32.generation) + 1;
    this.u32.fill(0, slot * W32, (slot + 1) * W32);
    this.setU32(slot, SLOT_U32.generation, generation);
    if (slot === header[HEADER.highWater]) header[HEADER.highWater] = slot + 1;
    return slot;
  }
}
