import { functionPointer, libc } from "../libc.ts";
import { ffi } from "../mod.ts";
import { tryLock, unlock } from "../mutex.ts";
import { offset, unmapMemory } from "../native_memory.ts";
import { callNative } from "./calls.ts";
import { LEDGER } from "./ledger.ts";
import {
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
import { REQUEST_BYTE_LENGTH } from "./pool.ts";
import { exclusively } from "./shared.ts";

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
  const u32 = new Uint32Array(ffi.view(offset({ address }, 0), SLAB_BYTE_LENGTH));
  for (let slot = 0; slot < REQUESTS; slot++) {
    const at = slot * HALVES;
    if (Atomics.load(u32, at + SUBMITTED) !== Atomics.load(u32, at + FINISHED)) return true;
  }
  return false;
}

/** Claims the remains of an owner that ended, if no living thread has and nothing of its is in flight. */
function claim(entry: OwnerEntry): boolean {
  return exclusively(() => {
    if (entry.u32[U32.state] === STATE.free || isAlive(entry)) return false;
    const reaper = entry.u32[U32.reaper]!;
    if (reaper !== 0 && isAlive(ownerEntry(reaper - 1))) return false;
    if (callsInFlight(entry)) return false;
    entry.u32[U32.reaper] = owner().index + 1;
    return true;
  });
}

async function releaseLedger(entry: OwnerEntry): Promise<void> {
  const used = entry.u32[U32.ledgerUsed]!, address = entry.words[WORD.ledger]!;
  const byteLength = entry.u32[U32.ledgerCapacity]! * LEDGER_ENTRY, pointer = offset({ address }, 0);
  const words = new BigUint64Array(ffi.view(pointer, byteLength));
  for (const last of [false, true]) {
    for (let at = 0; at < used * 4; at += 4) {
      const [fn, a0, a1, how] = [words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!];
      if (fn === 0n || (how === LEDGER.callLast) !== last) continue;
      words[at] = 0n; // a reaper that dies here leaks one thing and releases nothing twice
      if (how !== LEDGER.callEach) await callNative("release", fn, [a0, a1]);
      else {for (const item of new BigUint64Array(ffi.view(offset({ address: a0 }, 0), Number(a1) * 8)).slice()) {
          if (item !== 0n) await callNative("release", fn, [item]);
        }}
    }
  }
  unmapMemory({ pointer, address, byteLength });
}

async function bury(entry: OwnerEntry): Promise<void> {
  await releaseLedger(entry);
  const { u32, words } = entry, address = words[WORD.slab]!, readFd = u32[U32.readFd]!;
  unmapMemory({ pointer: offset({ address }, 0), address, byteLength: SLAB_BYTE_LENGTH });
  libc().close(u32[U32.writeFd]!);
  if (inode(readFd) === words[WORD.inode]) libc().close(readFd); // not where the runtime has closed it itself
  Atomics.store(u32, U32.state, STATE.free);
}

/**
 * Releases what threads that ended left behind, and returns how many of them it buried. One whose calls are still
 * running is left for the next time.
 */
export async function reap(): Promise<number> {
  const all = owners(), self = owner().index;
  let buried = 0;
  for (let index = 0; index < all[U32.everUsed]!; index++) {
    if (index === self || Atomics.load(all, index * OWNER_STRIDE + U32.state) === STATE.free) continue;
    const entry = ownerEntry(index);
    if (!claim(entry)) continue;
    await bury(entry);
    buried++;
  }
  if (buried > 0) await callNative("release", functionPointer("malloc_trim"), [0n]); // give it back to the system
  return buried;
}
