import { ffi } from "../mod.ts";
import { mapMemory, offset, unmapMemory } from "../native_memory.ts";
import { LEDGER_ENTRY, owner, U32, WORD } from "./owner.ts";

const WORDS = LEDGER_ENTRY / 8;

/** How the reaper calls an entry's function: with both arguments, with each pointer of an array that is not null, or as `mmap`. */
export const LEDGER = {
  /** `function(a0, a1)` */
  call: 0n,
  /** `function(a0, a1)`, after everything that depends on it. */
  callLast: 1n,
  /** `function(p)` for each non-null `p` of the array of `a1` pointers at `a0`. */
  callEach: 2n,
  /** `mmap`, to put zeros in place of the `a1` bytes at `a0`, whose addresses stay taken. */
  vacate: 3n,
  /** `function(a0, a1)`, before everything else: it lets go what others have, who may have what this thread lent them. */
  callFirst: 4n,
} as const;

let words: BigUint64Array | undefined;
const free: number[] = [];

function ledger(): BigUint64Array {
  if (words) return words;
  const entry = owner();
  const at = offset({ address: entry.words[WORD.ledger]! }, 0);
  return words = new BigUint64Array(ffi.view(at, entry.u32[U32.ledgerCapacity]! * LEDGER_ENTRY));
}

function grow(): void {
  const entry = owner(), old = ledger(), capacity = entry.u32[U32.ledgerCapacity]! * 2;
  const memory = mapMemory(capacity * LEDGER_ENTRY), address = entry.words[WORD.ledger]!;
  const grown = new BigUint64Array(ffi.view(memory.pointer, memory.byteLength));
  grown.set(old);
  entry.words[WORD.ledger] = memory.address;
  entry.u32[U32.ledgerCapacity] = capacity;
  words = grown;
  unmapMemory({ pointer: offset({ address }, 0), address, byteLength: old.byteLength });
}

/**
 * Notes what is to be called if this thread ends without having released something, and returns the note's number.
 *
 * @param how one of {@linkcode LEDGER}
 */
export function note(fn: bigint, a0: bigint, a1: bigint = 0n, how: bigint = LEDGER.call): number {
  let index = free.pop();
  if (index === undefined) {
    const entry = owner();
    index = entry.u32[U32.ledgerUsed]!;
    if (index === entry.u32[U32.ledgerCapacity]!) grow();
    entry.u32[U32.ledgerUsed] = index + 1;
  }
  const at = index * WORDS, table = ledger();
  table[at + 1] = a0;
  table[at + 2] = a1;
  table[at + 3] = how;
  table[at] = fn;
  return index;
}

/** Strikes a note out, when its thing was released or has a new owner. */
export function strike(index: number): void {
  ledger()[index * WORDS] = 0n;
  free.push(index);
}
