/**
 * This thread's entry among those that use the process: what it holds in native memory, and how to see that it ended.
 *
 * An entry, 256 bytes: +0 a robust mutex, held for the thread's life; +64 state (0 free, 1 alive, 2 ended); +68 and +72
 * the mailbox's ends (i32 fds); +76 ledger entries in use; +80 the slab of requests; +88 the ledger; +96 the ledger's
 * capacity; +104 the inode of the mailbox's readable end; +112 the reaper's index + 1;
 * +116 how many threads have had this entry; +120, in the first entry only, how many entries were ever used; +124
 * whether a message that wakes it is on its way; +128 zero for ever, what such a message says; +136 the reaper's
 * generation; +144 how much of its memory is lent to others, who may use it after the thread's end; +152 the last of
 * those loans that came back: see loans.ts.
 *
 * @module
 */
import { cstring } from "../cstring.ts";
import { errno, libc, strerror } from "../libc.ts";
import { ffi } from "../mod.ts";
import { initMutex, lock } from "../mutex.ts";
import { mapMemory, type NativeMemory, offset } from "../native_memory.ts";
import { exclusively, processBlock } from "./shared.ts";
import { REQUEST_BYTE_LENGTH } from "./pool.ts";

/** Threads of a process that can use Coload at once. */
export const MAX_OWNERS = 256;
/** Requests one thread has in the pool at once; more wait their turn in JavaScript. */
export const REQUESTS = 256;
/** Bytes of one owner's entry. */
export const OWNER_BYTE_LENGTH = 256;
/** Bytes of a slab of requests. */
export const SLAB_BYTE_LENGTH: number = REQUESTS * REQUEST_BYTE_LENGTH;

/** Positions in an entry's 32-bit words. */
export const U32 = {
  state: 16,
  readFd: 17,
  writeFd: 18,
  ledgerUsed: 19,
  ledgerCapacity: 24,
  reaper: 28,
  generation: 29,
  everUsed: 30,
  woken: 31,
  reaperGeneration: 34,
  loans: 36,
} as const;
/** Positions in an entry's 64-bit words. */
export const WORD = { slab: 10, ledger: 11, inode: 13, returned: 19 } as const;
/** Values of an entry's state. */
export const STATE = { free: 0, alive: 1, ended: 2 } as const;

const AF_UNIX = 1, SOCK_STREAM = 1, SOCK_CLOEXEC = 0x80000, F_SETFL = 4, O_NONBLOCK = 0x800;
const FIRST_LEDGER = 1024;
/** Bytes of one entry of the ledger. */
export const LEDGER_ENTRY = 32;

/** One owner's entry, as typed views. */
export interface OwnerEntry {
  readonly index: number;
  readonly memory: NativeMemory;
  readonly u32: Uint32Array;
  readonly words: BigUint64Array;
}

let own: OwnerEntry | undefined;
let all: Uint32Array | undefined;
let joined: (() => void) | undefined;

/** 32-bit words between one owner's entry and the next. */
export const OWNER_STRIDE: number = OWNER_BYTE_LENGTH / 4;

/** All owners' entries as 32-bit words; how many to look at is in the first one's {@linkcode U32.everUsed}. */
export function owners(): Uint32Array {
  const byteLength = MAX_OWNERS * OWNER_BYTE_LENGTH;
  return all ??= new Uint32Array(ffi.view(processBlock("owners", byteLength).pointer, byteLength));
}

/** The entry at an index. */
export function ownerEntry(index: number): OwnerEntry {
  const owners = processBlock("owners", MAX_OWNERS * OWNER_BYTE_LENGTH);
  const pointer = offset(owners, index * OWNER_BYTE_LENGTH), buffer = ffi.view(pointer, OWNER_BYTE_LENGTH);
  const memory = { pointer, address: ffi.address(pointer), byteLength: OWNER_BYTE_LENGTH };
  return { index, memory, u32: new Uint32Array(buffer), words: new BigUint64Array(buffer) };
}

/** The socket's inode as the kernel names it, to tell it from another file that got the same number. */
export function inode(fd: number): bigint {
  const target = new Uint8Array(64);
  const length = Number(libc().readlink(cstring(`/proc/self/fd/${fd}`), target, 64n));
  const name = new TextDecoder().decode(target.subarray(0, Math.max(0, length)));
  return BigInt(/^socket:\[(\d+)\]$/.exec(name)?.[1] ?? 0);
}

function join(entry: OwnerEntry): void {
  const { u32, words } = entry, fds = mapMemory(4096);
  if (libc().socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.pointer) !== 0) {
    throw new Error(`cannot make a socket pair: ${strerror(errno())}`);
  }
  const [readFd, writeFd] = new Int32Array(ffi.view(fds.pointer, 8));
  libc().munmap(fds.pointer, 4096n);
  libc().fcntl(readFd!, F_SETFL, O_NONBLOCK);
  const slab = mapMemory(SLAB_BYTE_LENGTH), ledger = mapMemory(FIRST_LEDGER * LEDGER_ENTRY);
  u32[U32.readFd] = readFd!;
  u32[U32.writeFd] = writeFd!;
  u32[U32.ledgerUsed] = 0;
  u32[U32.ledgerCapacity] = FIRST_LEDGER;
  u32[U32.reaper] = 0;
  u32[U32.woken] = 0;
  words[WORD.returned] = 0n;
  u32[U32.generation]!++;
  words[WORD.slab] = slab.address;
  words[WORD.ledger] = ledger.address;
  words[WORD.inode] = inode(readFd!);
  initMutex(entry.memory.pointer);
  lock(entry.memory.pointer);
  Atomics.store(u32, U32.state, STATE.alive);
}

/** Has something done whenever a thread gets its entry, soon after. */
export function afterJoining(work: () => void): void {
  joined = work;
}

/** This thread's entry, made at the first call. @throws {Error} when 256 threads of the process have one. */
export function owner(): OwnerEntry {
  return own ??= exclusively(() => {
    for (let index = 0; index < MAX_OWNERS; index++) {
      const entry = ownerEntry(index);
      if (entry.u32[U32.state] !== STATE.free) continue;
      join(entry);
      const everUsed = owners();
      everUsed[U32.everUsed] = Math.max(everUsed[U32.everUsed]!, index + 1);
      if (joined) queueMicrotask(joined);
      return entry;
    }
    throw new Error(`${MAX_OWNERS} threads of this process use Coload already`);
  });
}
