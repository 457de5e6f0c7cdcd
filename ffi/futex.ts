/**
 * Waiting for a word of memory that other processes write, and where this thread runs: what a wait of microseconds needs.
 *
 * @module
 */
import { ffi, type Pointer, type Symbols } from "./mod.ts";
import { offset } from "./native_memory.ts";
import { OwnedMemory } from "./owned_memory.ts";

const SIGNATURES = {
  syscall: { parameters: ["i64", "pointer", "i32", "u32", "pointer", "pointer", "u32"], result: "i64" }, // long (long number, ...)
  sched_getcpu: { parameters: [], result: "i32" }, // int (void)
} as const;

/** The shared forms: the private ones see only the own process's waiters. */
const FUTEX_WAIT = 0, FUTEX_WAKE = 1;
const FUTEX = ffi.arch === "arm64" ? 98n : 202n;

let symbols: Symbols<typeof SIGNATURES> | undefined;
let timeout: { readonly pointer: Pointer; readonly u32: Uint32Array } | undefined;

const posix = (): Symbols<typeof SIGNATURES> => symbols ??= ffi.open("libc.so.6", SIGNATURES);

/** `struct timespec`, of this thread. */
function timespec(milliseconds: number): Pointer {
  if (timeout === undefined) {
    const memory = new OwnedMemory(16);
    timeout = { pointer: offset(memory, 0), u32: new Uint32Array(memory.buffer, 0, 4) };
  }
  const seconds = Math.floor(milliseconds / 1000);
  timeout.u32[0] = seconds;
  timeout.u32[2] = Math.round((milliseconds - seconds * 1000) * 1e6);
  return timeout.pointer;
}

/**
 * Blocks this thread until somebody wakes the word, unless it is not `expected` any more. It may come back for no
 * reason: look at the word again. No signal handler of JavaScript runs meanwhile.
 */
export function waitForWord(word: Pointer, expected: number, milliseconds: number): void {
  posix().syscall(FUTEX, word, FUTEX_WAIT, expected, timespec(milliseconds), null, 0);
}

/** Wakes threads that wait for a word, in all processes. Returns how many. */
export function wakeWord(word: Pointer, most: number): number {
  return Number(posix().syscall(FUTEX, word, FUTEX_WAKE, most, null, null, 0));
}

/** The core that this thread runs on. */
export function currentCpu(): number {
  return posix().sched_getcpu();
}
