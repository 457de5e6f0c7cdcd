import { BLOCK_ALIGNMENT } from "./region_layout.ts";

/** Units below this have a list each; above, each power of two is divided into so many lists. */
const DIVISIONS = 16, DIVISION_BITS = 4;
const LISTS = (32 - DIVISION_BITS) * DIVISIONS + DIVISIONS;
/** Free pieces of the wanted list that are tried before a piece of a larger list is cut. */
const TRIES = 8;
const NONE = -1;

/** The list of free pieces of so many units. */
function listOf(units: number): number {
  if (units < DIVISIONS) return units;
  const power = 31 - Math.clz32(units);
  return (power - DIVISION_BITS + 1) * DIVISIONS + (units >>> (power - DIVISION_BITS)) - DIVISIONS;
}

/**
 * Where blocks lie in a stretch of memory: two-level segregated fit, which takes and gives in constant time (but for one list that is searched where no larger piece is left), joins
 * neighbours at once, and wastes little (Masmano et al., "TLSF: a new dynamic memory allocator for real-time systems",
 * 2004). What was given back last is taken first: its pages are warm. It touches none of the memory itself, so that
 * nobody who shares it can lead it astray.
 */
export class FreeSpace {
  readonly #firstByte: number;
  /** By piece: where it starts and how long it is, in units; its neighbours; its place in a list. */
  readonly #start: Uint32Array;
  readonly #units: Uint32Array;
  readonly #before: Int32Array;
  readonly #after: Int32Array;
  readonly #previous: Int32Array;
  readonly #next: Int32Array;
  /** 0 no piece, 1 free, 2 taken. */
  readonly #state: Uint8Array;
  readonly #unused: number[] = [];
  readonly #capacity: number;
  readonly #lists: Int32Array = new Int32Array(LISTS).fill(NONE);
  readonly #filled: Uint32Array = new Uint32Array(Math.ceil(LISTS / 32));
  #ever = 1;
  #freeUnits: number;
  #taken = 0;

  /** @param capacity most pieces, free and taken ones together */
  constructor(firstByte: number, byteLength: number, capacity: number) {
    this.#firstByte = firstByte;
    this.#capacity = capacity;
    this.#start = new Uint32Array(capacity);
    this.#units = new Uint32Array(capacity);
    this.#before = new Int32Array(capacity).fill(NONE);
    this.#after = new Int32Array(capacity).fill(NONE);
    this.#previous = new Int32Array(capacity);
    this.#next = new Int32Array(capacity);
    this.#state = new Uint8Array(capacity);
    this.#freeUnits = this.#units[0] = Math.floor(byteLength / BLOCK_ALIGNMENT);
    this.#insert(0);
  }

  /** Bytes that are taken by a block of so many. */
  static rounded(byteLength: number): number {
    return Math.max(1, Math.ceil(byteLength / BLOCK_ALIGNMENT)) * BLOCK_ALIGNMENT;
  }

  /** How many blocks are taken. */
  get taken(): number {
    return this.#taken;
  }

  /** Bytes that are free, in one piece or many. */
  get freeBytes(): number {
    return this.#freeUnits * BLOCK_ALIGNMENT;
  }

  /** Bytes of the largest free piece. */
  get largestFreeBytes(): number {
    for (let list = LISTS - 1; list >= 0; list--) {
      let largest = 0;
      for (let piece = this.#lists[list]!; piece !== NONE; piece = this.#next[piece]!) {
        largest = Math.max(largest, this.#units[piece]!);
      }
      if (largest > 0) return largest * BLOCK_ALIGNMENT;
    }
    return 0;
  }

  /** Whether a number is a taken block's. */
  isTaken(block: number): boolean {
    return this.#state[block] === 2;
  }

  /** Where a block starts. */
  byteOffset(block: number): number {
    return this.#firstByte + this.#start[block]! * BLOCK_ALIGNMENT;
  }

  /** Bytes of a block. */
  byteLength(block: number): number {
    return this.#units[block]! * BLOCK_ALIGNMENT;
  }

  /** The numbers of all taken blocks. */
  *takenBlocks(): Generator<number> {
    for (let block = 0; block < this.#ever; block++) if (this.#state[block] === 2) yield block;
  }

  /** Takes a block of so many bytes, and returns its number; `undefined` where there is no room. */
  take(byteLength: number): number | undefined {
    const units = FreeSpace.rounded(byteLength) / BLOCK_ALIGNMENT, piece = this.#find(units);
    if (piece === NONE) return undefined;
    const rest = this.#units[piece]! - units, cut = rest > 0 ? this.#newPiece() : NONE;
    if (rest > units && cut === NONE) return undefined; // no number is left for the rest, which is too much to waste
    this.#remove(piece);
    if (cut !== NONE) this.#cut(piece, units, cut);
    this.#state[piece] = 2;
    this.#freeUnits -= this.#units[piece]!;
    this.#taken++;
    return piece;
  }

  /** Gives a taken block back. */
  give(block: number): void {
    let piece = block;
    this.#freeUnits += this.#units[block]!;
    this.#taken--;
    const before = this.#before[block]!, after = this.#after[block]!;
    if (after !== NONE && this.#state[after] === 1) {
      this.#remove(after);
      this.#join(piece, after);
    }
    if (before !== NONE && this.#state[before] === 1) {
      this.#remove(before);
      this.#join(before, piece);
      piece = before;
    }
    this.#insert(piece);
  }

  #find(units: number): number {
    const list = listOf(units);
    let piece = this.#lists[list]!;
    for (let i = 0; i < TRIES && piece !== NONE; i++, piece = this.#next[piece]!) {
      if (this.#units[piece]! >= units) return piece;
    }
    for (let from = list + 1; from < LISTS;) {
      const bits = this.#filled[from >>> 5]! >>> (from & 31);
      if (bits !== 0) return this.#lists[from + 31 - Math.clz32(bits & -bits)]!; // any piece of a higher list is enough
      from = ((from >>> 5) + 1) << 5;
    }
    for (; piece !== NONE; piece = this.#next[piece]!) if (this.#units[piece]! >= units) return piece;
    return NONE;
  }

  #newPiece(): number {
    return this.#unused.pop() ?? (this.#ever < this.#capacity ? this.#ever++ : NONE);
  }

  /** Makes `rest` of what lies beyond the first units of a piece. */
  #cut(piece: number, units: number, rest: number): void {
    const after = this.#after[piece]!;
    this.#start[rest] = this.#start[piece]! + units;
    this.#units[rest] = this.#units[piece]! - units;
    this.#before[rest] = piece;
    this.#after[rest] = after;
    if (after !== NONE) this.#before[after] = rest;
    this.#after[piece] = rest;
    this.#units[piece] = units;
    this.#insert(rest);
  }

  /** Adds to a piece the one behind it, whose number is then unused. */
  #join(piece: number, after: number): void {
    const beyond = this.#after[after]!;
    this.#units[piece]! += this.#units[after]!;
    this.#after[piece] = beyond;
    if (beyond !== NONE) this.#before[beyond] = piece;
    this.#state[after] = 0;
    this.#unused.push(after);
  }

  #insert(piece: number): void {
    const list = listOf(this.#units[piece]!), next = this.#lists[list]!;
    this.#state[piece] = 1;
    this.#previous[piece] = NONE;
    this.#next[piece] = next;
    if (next !== NONE) this.#previous[next] = piece;
    this.#lists[list] = piece;
    this.#filled[list >>> 5]! |= 1 << (list & 31);
  }

  #remove(piece: number): void {
    const list = listOf(this.#units[piece]!), previous = this.#previous[piece]!, next = this.#next[piece]!;
    if (next !== NONE) this.#previous[next] = previous;
    if (previous !== NONE) this.#next[previous] = next;
    else if ((this.#lists[list] = next) === NONE) this.#filled[list >>> 5]! &= ~(1 << (list & 31));
  }
}
