import { cstring } from "./cstring.ts";
import { errno, libc, strerror } from "./libc.ts";
import { ffi, type Symbols } from "./mod.ts";

const SIGNATURES = {
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" }, // (int dirfd, const char *path, int flags, unsigned mask, struct statx *)
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "i64" }, // ssize_t (int fd, void *buffer, size_t count, off_t offset)
  realpath: { parameters: ["buffer", "buffer"], result: "pointer" }, // char *(const char *path, char *resolved)
} as const;

const O_CLOEXEC = 0x80000, AT_FDCWD = -100, STATX_BASIC_STATS = 0x7ff, STATX_BYTE_LENGTH = 256;
const S_IFMT = 0o170000, S_IFREG = 0o100000, S_IFDIR = 0o040000;

let symbols: Symbols<typeof SIGNATURES> | undefined;
const result = new Uint8Array(STATX_BYTE_LENGTH), view = new DataView(result.buffer);
const u32 = new Uint32Array(result.buffer);

const posix = (): Symbols<typeof SIGNATURES> => symbols ??= ffi.open("libc.so.6", SIGNATURES);

/** Which file a path names, and which state of it. */
export interface FileIdentity {
  /** The same for every path, link or symlink to one unchanged file; different once it is written to. */
  readonly key: string;
  readonly byteLength: number;
  readonly kind: "file" | "directory" | "other";
}

/** Why the system did not answer. */
export interface FileError {
  readonly error: number;
  readonly message: string;
}

/** Looks a path up, following symlinks, in one system call. (The layout is that of `struct statx`, the same on every architecture.) */
export function fileIdentity(path: string): FileIdentity | FileError {
  if (posix().statx(AT_FDCWD, cstring(path), 0, STATX_BASIC_STATS, result) !== 0) {
    const error = errno();
    return { error, message: strerror(error) };
  }
  const type = view.getUint16(28, true) & S_IFMT;
  const inode = `${u32[9]}.${u32[8]}`, byteLength = u32[10]! + u32[11]! * 2 ** 32; // in halves: a number holds 53 bits
  const modified = u32[28]! + u32[29]! * 2 ** 32, nanoseconds = u32[30]!;
  return {
    key: `${u32[34]}:${u32[35]}:${inode}:${byteLength}:${modified}.${nanoseconds}`,
    byteLength,
    kind: type === S_IFREG ? "file" : type === S_IFDIR ? "directory" : "other",
  };
}

/** The absolute path without symlinks, or `undefined` if there is none. */
export function realPath(path: string): string | undefined {
  const resolved = new Uint8Array(4096);
  if (posix().realpath(cstring(path), resolved) === null) return undefined;
  return new TextDecoder().decode(resolved.subarray(0, resolved.indexOf(0)));
}

/** A file that is open for reading anywhere in it. */
export class OpenFile implements Disposable {
  readonly #fd: number;

  /** @throws {Error} with the system's words */
  constructor(path: string) {
    this.#fd = libc().open(cstring(path), O_CLOEXEC);
    if (this.#fd < 0) throw new Error(`cannot open ${path}: ${strerror(errno())}`);
  }

  /** Reads what there is at an offset, and returns how many bytes that is. @throws {Error} with the system's words */
  read(into: Uint8Array<ArrayBuffer>, byteOffset: number): number {
    const length = Number(posix().pread(this.#fd, into, BigInt(into.length), BigInt(byteOffset)));
    if (length < 0) throw new Error(`cannot read a file: ${strerror(errno())}`);
    return length;
  }

  [Symbol.dispose](): void {
    libc().close(this.#fd);
  }
}

/** The first 4096 bytes of a file as text, which is all of most files of /proc; `undefined` where it cannot be read. */
export function readText(path: string): string | undefined {
  try {
    using file = new OpenFile(path);
    const bytes = new Uint8Array(4096);
    return new TextDecoder().decode(bytes.subarray(0, file.read(bytes, 0)));
  } catch {
    return undefined;
  }
}

/** Where a symlink leads, as it says; `undefined` where there is none, or it may not be read. */
export function linkTarget(path: string): string | undefined {
  const target = new Uint8Array(4096), length = Number(libc().readlink(cstring(path), target, 4096n));
  return length < 0 ? undefined : new TextDecoder().decode(target.subarray(0, length));
}
