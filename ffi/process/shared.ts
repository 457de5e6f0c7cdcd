/**
 * What all threads of the process share, found without an environment variable or a file: a word of writable memory
 * that the dynamic loader knows by a symbol's name. It points at one record, made by whoever comes first.
 *
 * The record, in bytes: 0 a robust mutex; 64 u32 how often a thread died holding it; 128 the directory, 64 entries of
 * 32 bytes (16 of the block's name, its address, its length).
 *
 * @module
 */
import { cstring } from "../cstring.ts";
import { MACHINE, sharedObject } from "../elf.ts";
import { libc } from "../libc.ts";
import { memoryFile } from "../memory_file.ts";
import { ffi, type Pointer } from "../mod.ts";
import { initMutex, lock, unlock } from "../mutex.ts";
import { mapMemory, type NativeMemory, offset, unmapMemory } from "../native_memory.ts";

const SYMBOL = "coload_process_v1";
const RTLD_NOW = 2, RTLD_GLOBAL = 0x100, RTLD_NODELETE = 0x1000;
const RECORD_BYTE_LENGTH = 4096, RECOVERIES = 64, DIRECTORY = 128, ENTRY = 32, ENTRIES = 64, NAME_LENGTH = 16;

/** The shared record, as this thread sees it. */
interface Shared {
  readonly record: NativeMemory;
  readonly bytes: Uint8Array;
  readonly words: BigUint64Array;
  readonly u32: Uint32Array;
}

let shared: Shared | undefined;
let depth = 0;

function anchor(): Pointer {
  const name = cstring(SYMBOL);
  const found = libc().dlsym(null, name);
  if (found !== null) return found;
  const image = sharedObject([{ name: SYMBOL, dataByteLength: 64 }], MACHINE[ffi.arch === "arm64" ? "arm64" : "x64"]);
  using file = memoryFile(ffi, "coload-process", image);
  libc().dlopen(cstring(file.path), RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
  const made = libc().dlsym(null, name);
  if (made === null) throw new Error("the process's shared memory cannot be set up: the loader refused it");
  return made;
}

function open(): Shared {
  const word = new BigUint64Array(ffi.view(anchor(), 8));
  if (Atomics.load(word, 0) === 0n) {
    const candidate = mapMemory(RECORD_BYTE_LENGTH);
    initMutex(candidate.pointer);
    if (Atomics.compareExchange(word, 0, 0n, candidate.address) !== 0n) unmapMemory(candidate);
  }
  const address = Atomics.load(word, 0), pointer = ffi.pointer(address)!;
  const buffer = ffi.view(pointer, RECORD_BYTE_LENGTH);
  return {
    record: { pointer, address, byteLength: RECORD_BYTE_LENGTH },
    bytes: new Uint8Array(buffer),
    words: new BigUint64Array(buffer),
    u32: new Uint32Array(buffer),
  };
}

const get = (): Shared => shared ??= open();

/**
 * Runs a short, synchronous piece of work while no other thread of the process does. It may be nested.
 *
 * A thread can be terminated in the middle of it: what it changes must be ordered so that the next one can go on, or
 * be rebuilt when {@linkcode recoveries} has grown.
 */
export function exclusively<T>(work: () => T): T {
  const { record, u32 } = get();
  if (depth === 0 && lock(record.pointer).ownerDied) u32[RECOVERIES / 4]!++;
  depth++;
  try {
    return work();
  } finally {
    if (--depth === 0) unlock(record.pointer);
  }
}

/** How many threads died while they worked {@linkcode exclusively}. */
export function recoveries(): number {
  return get().u32[RECOVERIES / 4]!;
}

/**
 * The process's block of this name: the same memory for every thread, zeroed when the first one asks.
 *
 * @param name at most 16 ASCII characters
 * @param init fills the block before anybody else can find it
 */
export function processBlock(name: string, byteLength: number, init?: (memory: NativeMemory) => void): NativeMemory {
  const { bytes, words } = get();
  const label = new Uint8Array(NAME_LENGTH);
  label.set(new TextEncoder().encode(name));
  return exclusively(() => {
    for (let i = 0; i < ENTRIES; i++) {
      const at = DIRECTORY + i * ENTRY, word = at / 8;
      if (words[word + 2] === 0n) {
        const memory = mapMemory(byteLength);
        init?.(memory);
        bytes.set(label, at);
        words[word + 3] = BigInt(byteLength);
        words[word + 2] = memory.address;
        return memory;
      }
      if (!label.every((byte, k) => bytes[at + k] === byte)) continue;
      const address = words[word + 2]!;
      return { pointer: offset({ address }, 0), address, byteLength: Number(words[word + 3]) };
    }
    throw new Error("the process's directory of shared blocks is full");
  });
}
