import { functionPointer, libc } from "../libc.ts";
import { ffi } from "../mod.ts";
import { tryLock, unlock } from "../mutex.ts";
import { type NativeMemory, offset, unmapMemory, vacatingArguments } from "../native_memory.ts";
import { callNative } from "./calls.ts";
import { LEDGER } from "./ledger.ts";
import {
  afterJoining,
  inode,
  LEDGER_ENTRY,
  owner,
  OWNER_STRIDE,
  type OwnerEntry,
  ownerEntry,
  owners,
  REQUESTS,
  SLAB_BYTE_LENGTH,
  STATE,
  U32,
  WORD,
} from "./owner.ts";
import { ensureThreads, REQUEST_BYTE_LENGTH } from "./pool.ts";
import { exclusively } from "./shared.ts";

/** In place of a descriptor that was closed, or left to whoever has its number now. */
const GIVEN_UP = 0xffffffff;
/** Positions in a request's 32-bit words: see pool.ts. */
const SUBMITTED = 22, FINISHED = 23, HALVES = REQUEST_BYTE_LENGTH / 4;

/** Whether an owner's thread is alive; notes it when it is not. */
export function isAlive(entry: OwnerEntry): boolean {
  if (entry.index === owner().index) return true;
  if (Atomics.load(entry.u32, U32.state) !== STATE.alive) return false;
  const found = tryLock(entry.memory.pointer);
  if (found === "busy") return true;
  Atomics.store(entry.u32, U32.state, STATE.ended);
  unlock(entry.memory.pointer);
  return false;
}

function callsInFlight(entry: OwnerEntry): boolean {
  const address = entry.words[WORD.slab]!;
  if (address === 0n) return false; // a reaper that died had come that far
  const u32 = new Uint32Array(ffi.view(offset({ address }, 0), SLAB_BYTE_LENGTH));
  for (let slot = 0; slot < REQUESTS; slot++) {
    const at = slot * HALVES;
    if (Atomics.load(u32, at + SUBMITTED) !== Atomics.load(u32, at + FINISHED)) return true;
  }
  return false;
}

function hasReaper(entry: OwnerEntry): boolean {
  const index = entry.u32[U32.reaper]! - 1;
  if (index < 0) return false;
  const reaper = ownerEntry(index);
  return reaper.u32[U32.generation] === entry.u32[U32.reaperGeneration] && isAlive(reaper);
}

/** Claims the remains of an owner that ended, if no living thread has and nothing of its is in flight. */
function claim(entry: OwnerEntry): boolean {
  return exclusively(() => {
    if (entry.u32[U32.state] === STATE.free || isAlive(entry)) return false;
    if (hasReaper(entry) || callsInFlight(entry)) return false;
    entry.u32[U32.reaperGeneration] = owner().u32[U32.generation]!;
    entry.u32[U32.reaper] = owner().index + 1;
    return true;
  });
}

/** What an entry's function is called with, each time. */
function argumentsOf(how: bigint, a0: bigint, a1: bigint): (readonly bigint[])[] {
  if (how === LEDGER.vacate) return [vacatingArguments(a0, a1)];
  if (how !== LEDGER.callEach) return [[a0, a1]];
  const items = new BigUint64Array(ffi.view(offset({ address: a0 }, 0), Number(a1) * 8)).slice();
  return [...items].filter((item) => item !== 0n).map((item) => [item]);
}

interface Ledger extends NativeMemory {
  readonly words: BigUint64Array;
}

function ledgerOf(entry: OwnerEntry): Ledger | undefined {
  const address = entry.words[WORD.ledger]!;
  if (address === 0n) return undefined; // a reaper that died had come that far
  const byteLength = entry.u32[U32.ledgerCapacity]! * LEDGER_ENTRY, pointer = offset({ address }, 0);
  return { address, byteLength, pointer, words: new BigUint64Array(ffi.view(pointer, byteLength)) };
}

async function callEntries(entry: OwnerEntry, isMeant: (how: bigint) => boolean): Promise<void> {
  const used = entry.u32[U32.ledgerUsed]!, words = ledgerOf(entry)?.words;
  if (words === undefined) return;
  for (let at = 0; at < used * 4; at += 4) {
    const [fn, a0, a1, how] = [words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!];
    if (fn === 0n || !isMeant(how)) continue;
    words[at] = 0n; // a reaper that dies here leaks one thing and releases nothing twice
    for (const args of argumentsOf(how, a0, a1)) await callNative("release", fn, args);
  }
}

async function releaseLedger(entry: OwnerEntry): Promise<void> {
  await callEntries(entry, (how) => how !== LEDGER.callLast);
  await callEntries(entry, () => true);
  const ledger = ledgerOf(entry);
  entry.words[WORD.ledger] = 0n;
  if (ledger) unmapMemory(ledger);
}

/**
 * Each thing is forgotten before it is given up, so that a reaper that dies in between leaves nothing to give up twice.
 * Returns `false` where others still use what the thread lent them: then it lets go what others have, and that is all.
 */
async function bury(entry: OwnerEntry): Promise<boolean> {
  const { u32, words } = entry, address = words[WORD.slab]!;
  await callEntries(entry, (how) => how === LEDGER.callFirst);
  if (Atomics.load(u32, U32.loans) > 0) {
    u32[U32.reaper] = 0;
    return false;
  }
  await releaseLedger(entry);
  words[WORD.slab] = 0n;
  if (address !== 0n) unmapMemory({ pointer: offset({ address }, 0), address, byteLength: SLAB_BYTE_LENGTH });
  const fds = [U32.writeFd, U32.readFd].map((position) => {
    const fd = u32[position]!;
    u32[position] = GIVEN_UP;
    return fd;
  });
  const [writeFd, readFd] = fds as [number, number];
  if (writeFd !== GIVEN_UP) libc().close(writeFd);
  // Not where the runtime has closed it itself, and the number names another file.
  if (readFd !== GIVEN_UP && inode(readFd) === words[WORD.inode]) libc().close(readFd);
  Atomics.store(u32, U32.state, STATE.free);
  return true;
}

let reaping: Promise<number> = Promise.resolve(0);

/**
 * Releases what threads that ended left behind, and returns how many of them it buried. One whose calls are still
 * running, or whose memory others still use, is left for the next time. Two at once take turns.
 */
export function reap(): Promise<number> {
  return reaping = reaping.then(buryAll, buryAll);
}

async function buryAll(): Promise<number> {
  const all = owners(), self = owner().index;
  let buried = 0;
  for (let index = 0; index < all[U32.everUsed]!; index++) {
    if (index === self || Atomics.load(all, index * OWNER_STRIDE + U32.state) === STATE.free) continue;
    const entry = ownerEntry(index);
    if (!claim(entry)) continue;
    ensureThreads("release", 1);
    if (await bury(entry)) buried++;
  }
  if (buried > 0) await callNative("release", functionPointer("malloc_trim"), [0n]); // give it back to the system
  return buried;
}

// A thread that joins looks after those that left: also in a program whose threads keep nothing in a registry.
afterJoining(() => void reap());
