import { errno, strerror } from "./libc.ts";

/** Error numbers that callers tell apart. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EEXIST: 17,
  EXDEV: 18,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOSPC: 28,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ECONNABORTED: 103,
  ECONNREFUSED: 111,
  EDQUOT: 122,
} as const;

/** A system call that failed, in the system's words. */
export class SystemFailure extends Error {
  override readonly name = "SystemFailure";
  readonly errno: number;

  /** @param error the error number; the thread's own when left out, so make it at once after the call */
  constructor(doing: string, error: number = errno()) {
    super(`cannot ${doing}: ${strerror(error)}`);
    this.errno = error;
  }
}
