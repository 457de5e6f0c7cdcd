/**
 * Locks on single bytes of an open file. They belong to the open file description, not to the process: two
 * descriptions exclude each other also within one process, and the kernel lets a lock go when the description is
 * closed, however its holder ended.
 *
 * @module
 */
import { ERRNO, SystemFailure } from "./system_failure.ts";
import { errno } from "./libc.ts";
import { ffi, type Symbols } from "./mod.ts";

const SIGNATURES = { fcntl: { parameters: ["i32", "i32", "buffer"], result: "i32" } } as const; // (int fd, int command, struct flock *)

const F_OFD_GETLK = 36, F_OFD_SETLK = 37;
const F_WRLCK = 1, F_UNLCK = 2;

let symbols: Symbols<typeof SIGNATURES> | undefined;
/** `struct flock` of 64-bit systems: +0 i16 type, +2 i16 whence, +8 i64 start, +16 i64 length, +24 i32 pid (0). */
const flock = new Int32Array(8), type = new Int16Array(flock.buffer);

function call(fd: number, command: number, kind: number, start: number, length: number): number {
  symbols ??= ffi.open("libc.so.6", SIGNATURES);
  flock.fill(0);
  type[0] = kind;
  flock[2] = start;
  flock[4] = length;
  return symbols.fcntl(fd, command, flock);
}

/** Takes the lock on some bytes if no other description holds one of them. @throws {SystemFailure} */
export function tryLockBytes(fd: number, start: number, length = 1): boolean {
  if (call(fd, F_OFD_SETLK, F_WRLCK, start, length) === 0) return true;
  const error = errno();
  if (error === ERRNO.EAGAIN || error === ERRNO.EACCES) return false;
  throw new SystemFailure("lock a file", error);
}

/** Lets the lock on some bytes go. @throws {SystemFailure} */
export function unlockBytes(fd: number, start: number, length = 1): void {
  if (call(fd, F_OFD_SETLK, F_UNLCK, start, length) !== 0) throw new SystemFailure("unlock a file");
}

/** Whether another description holds a lock on one of these bytes. @throws {SystemFailure} */
export function isLockedElsewhere(fd: number, start: number, length = 1): boolean {
  if (call(fd, F_OFD_GETLK, F_WRLCK, start, length) !== 0) throw new SystemFailure("look for a lock on a file");
  return type[0] !== F_UNLCK;
}
