/**
 * Loops of two processes on one tensor. Each returns how often the other was in its way, or how often it found what
 * cannot be: the caller knows which.
 *
 * @module
 */
// deno-lint-ignore-file no-explicit-any -- a tensor's data, whose dtype the caller chose

/** What is tried. */
export type Loop = "add" | "compareExchange" | "bits" | "add64" | "send";

/** Words that lie before what the loops work on: who is ready. */
const READY = [0, 16] as const, WORK = 32, FLAGS = 48, RING = 4096;
/** How large a tensor the loops need, in elements. */
export const WORDS: number = FLAGS + 2 * RING;
/** The element that they count in. */
export const COUNTED: number = WORK;

/** Waits until both are here: they are to get into each other's way. */
function meet(words: any, self: 0 | 1): void {
  const one = words instanceof BigInt64Array ? 1n : 1;
  Atomics.store(words as any, READY[self], one as any);
  while (!Atomics.load(words, READY[1 - self]!));
}

/** Each adds 1. */
function add(words: Int32Array, self: 0 | 1, count: number): number {
  meet(words, self);
  for (let i = 0; i < count; i++) Atomics.add(words, WORK, 1);
  return 0;
}

/** Each adds 1 to what it read, unless the other was faster. */
function compareExchange(words: Int32Array, self: 0 | 1, count: number): number {
  let lost = 0;
  meet(words, self);
  for (let i = 0; i < count; i++) {
    for (let found = Atomics.load(words, WORK);; lost++) {
      const before = Atomics.compareExchange(words, WORK, found, found + 1);
      if (before === found) break;
      found = before;
    }
  }
  return lost;
}

/** Each sets and clears a bit of its own, and finds it as it left it. Returns how often it did not. */
function bits(words: BigInt64Array, self: 0 | 1, count: number): number {
  const bit = 1n << BigInt(40 + self);
  let wrong = 0;
  meet(words, self);
  for (let i = 0; i < count; i++) {
    if ((Atomics.or(words, WORK, bit) & bit) !== 0n) wrong++;
    if ((Atomics.and(words, WORK, ~bit) & bit) === 0n) wrong++;
  }
  return wrong;
}

/** Each adds 2^32 + 1 by compare and exchange. */
function add64(words: BigInt64Array, self: 0 | 1, count: number): number {
  const step = (1n << 32n) + 1n;
  let lost = 0;
  meet(words, self);
  for (let i = 0; i < count; i++) {
    for (let found = Atomics.load(words, WORK);; lost++) {
      const before = Atomics.compareExchange(words, WORK, found, found + step);
      if (before === found) break;
      found = before;
    }
  }
  return lost;
}

/** One writes plain data, then a flag; the other waits for the flag, and returns how often the data was not there. */
function send(words: Int32Array, self: 0 | 1, count: number): number {
  let wrong = 0;
  meet(words, self);
  for (let i = 1; i <= count; i++) {
    const at = FLAGS + 2 * (i % RING);
    if (self === 0) {
      while (Atomics.load(words, WORK) < i - RING); // the ring is full
      words[at + 1] = i ^ 0x5555;
      Atomics.store(words, at, i);
    } else {
      while (Atomics.load(words, at) !== i);
      if (words[at + 1] !== (i ^ 0x5555)) wrong++;
      Atomics.store(words, WORK, i);
    }
  }
  return wrong;
}

/** The loops, by name. */
export const atomicLoops: Readonly<Record<Loop, (words: any, self: 0 | 1, count: number) => number>> = {
  add,
  compareExchange,
  bits,
  add64,
  send,
};
