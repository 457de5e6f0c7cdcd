import { cstring } from "./cstring.ts";
import { errno, libc, strerror } from "./libc.ts";
import { ffi, type Symbols } from "./mod.ts";
import { SystemFailure } from "./system_failure.ts";

const SIGNATURES = {
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" }, // (int dirfd, const char *path, int flags, unsigned mask, struct statx *)
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "i64" }, // ssize_t (int fd, void *buffer, size_t count, off_t offset)
  realpath: { parameters: ["buffer", "buffer"], result: "pointer" }, // char *(const char *path, char *resolved)
} as const;

const O_CLOEXEC = 0x80000, AT_FDCWD = -100, AT_SYMLINK_NOFOLLOW = 0x100;
const STATX_BASIC_STATS = 0x7ff, STATX_BYTE_LENGTH = 256;
const S_IFMT = 0o170000, S_IFREG = 0o100000, S_IFDIR = 0o040000, S_IFLNK = 0o120000;

let symbols: Symbols<typeof SIGNATURES> | undefined;
const result = new Uint8Array(STATX_BYTE_LENGTH), view = new DataView(result.buffer);
const u32 = new Uint32Array(result.buffer);

const posix = (): Symbols<typeof SIGNATURES> => symbols ??= ffi.open("libc.so.6", SIGNATURES);

/** Which file a path names, and which state of it. */
export interface FileIdentity {
  /** The same for every path, link or symlink to one unchanged file; different once it is written to. */
  readonly key: string;
  /**
   * The same as long as nobody has touched the file: `key` with the time of its last change of any kind, which no
   * program can set.
   */
  readonly state: string;
  readonly byteLength: number;
  readonly kind: "file" | "directory" | "symlink" | "other";
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  /** When it was last changed in any way, in ms since the epoch. */
  readonly changedAt: number;
}

/** Why the system did not answer. */
export interface FileError {
  readonly error: number;
  readonly message: string;
}

/**
 * Looks a path up in one system call. (The layout is that of `struct statx`, the same on every architecture.)
 *
 * @param symlinks whether to follow one, or to tell of it
 */
export function fileIdentity(path: string, symlinks: "follow" | "tell" = "follow"): FileIdentity | FileError {
  const flags = symlinks === "tell" ? AT_SYMLINK_NOFOLLOW : 0;
  if (posix().statx(AT_FDCWD, cstring(path), flags, STATX_BASIC_STATS, result) !== 0) {
    const error = errno();
    return { error, message: strerror(error) };
  }
  const mode = view.getUint16(28, true), type = mode & S_IFMT;
  const u64 = (word: number): number => u32[word]! + u32[word + 1]! * 2 ** 32;
  const inode = `${u32[9]}.${u32[8]}`, byteLength = u64(10); // in halves: a number holds 53 bits
  const changed = u64(24), key = `${u32[34]}:${u32[35]}:${inode}:${byteLength}:${u64(28)}.${u32[30]}`;
  return {
    key,
    state: `${key}:${changed}.${u32[26]}`,
    byteLength,
    kind: type === S_IFREG ? "file" : type === S_IFDIR ? "directory" : type === S_IFLNK ? "symlink" : "other",
    mode: mode & 0o7777,
    uid: u32[5]!,
    changedAt: changed * 1000 + u32[26]! / 1e6,
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

  /** @throws {SystemFailure} */
  constructor(path: string) {
    this.#fd = libc().open(cstring(path), O_CLOEXEC);
    if (this.#fd < 0) throw new SystemFailure(`open ${path}`);
  }

  /** Reads what there is at an offset, and returns how many bytes that is. @throws {SystemFailure} */
  read(into: Uint8Array<ArrayBuffer>, byteOffset: number): number {
    const length = Number(posix().pread(this.#fd, into, BigInt(into.length), BigInt(byteOffset)));
    if (length < 0) throw new SystemFailure("read a file");
    return length;
  }

  [Symbol.dispose](): void {
    libc().close(this.#fd);
  }
}

/**
 * A file as text; `undefined` where it cannot be read.
 *
 * @param most bytes after which it is cut; the default is all of most files of /proc
 */
export function readText(path: string, most = 4096): string | undefined {
  try {
    using file = new OpenFile(path);
    const bytes = new Uint8Array(most);
    let length = 0; // files of /proc come in pieces
    for (let read = -1; read !== 0 && length < most; length += read) read = file.read(bytes.subarray(length), length);
    return new TextDecoder().decode(bytes.subarray(0, length));
  } catch {
    return undefined;
  }
}

/** Where a symlink leads, as it says; `undefined` where there is none, or it may not be read. */
export function linkTarget(path: string): string | undefined {
  const target = new Uint8Array(4096), length = Number(libc().readlink(cstring(path), target, 4096n));
  return length < 0 ? undefined : new TextDecoder().decode(target.subarray(0, length));
}
