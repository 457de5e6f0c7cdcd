/**
 * Folders and small files of one's own, by C: Deno then asks for no permission beyond that for C itself.
 *
 * @module
 */
import { cstring } from "./cstring.ts";
import { fileIdentity } from "./files.ts";
import { namesIn } from "./file_system.ts";
import { errno, libc } from "./libc.ts";
import { ffi, type Symbols } from "./mod.ts";
import { ERRNO, SystemFailure } from "./system_failure.ts";

const SIGNATURES = {
  chmod: { parameters: ["buffer", "u32"], result: "i32" }, // (const char *path, mode_t mode)
  fsync: { parameters: ["i32"], result: "i32" }, // (int fd)
  mkdir: { parameters: ["buffer", "u32"], result: "i32" }, // (const char *path, mode_t mode)
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" }, // (const char *path, int flags, mode_t mode)
  rename: { parameters: ["buffer", "buffer"], result: "i32" }, // (const char *from, const char *to)
  renameat2: { parameters: ["i32", "buffer", "i32", "buffer", "u32"], result: "i32" }, // (int from, const char *path, int to, const char *path, unsigned flags)
  rmdir: { parameters: ["buffer"], result: "i32" }, // (const char *path)
  unlink: { parameters: ["buffer"], result: "i32" }, // (const char *path)
  utimensat: { parameters: ["i32", "buffer", "pointer", "i32"], result: "i32" }, // (int dirfd, const char *path, const struct timespec times[2], int flags)
  write: { parameters: ["i32", "buffer", "usize"], result: "i64" }, // ssize_t (int fd, const void *bytes, size_t count)
} as const;

const O_RDWR = 2, O_CREAT = 0o100, O_EXCL = 0o200, O_CLOEXEC = 0x80000;
const O_NOFOLLOW = ffi.arch === "arm64" ? 0x8000 : 0x20000, AT_FDCWD = -100, RENAME_EXCHANGE = 2;
const OWNER_DIRECTORY = 0o700, OWNER_FILE = 0o600, OWNER_READS = 0o400;
/** How often a folder is emptied that others still write to. */
const MAX_TRIES = 10;

let symbols: Symbols<typeof SIGNATURES> | undefined;
const posix = (): Symbols<typeof SIGNATURES> => symbols ??= ffi.open("libc.so.6", SIGNATURES);

/** Makes a folder for its owner alone. Harmless where it is there. @throws {SystemFailure} */
export function makeDirectory(path: string): void {
  if (posix().mkdir(cstring(path), OWNER_DIRECTORY) === 0) return;
  const error = errno();
  if (error !== ERRNO.EEXIST) throw new SystemFailure(`make ${path}`, error);
}

/** Opens a file of the owner's for reading and writing, made if it is not there, and not through a symlink. @throws {SystemFailure} */
export function openOwnFile(path: string): number {
  const fd = posix().open(cstring(path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, OWNER_FILE);
  if (fd < 0) throw new SystemFailure(`open ${path}`);
  return fd;
}

/** Opens a file for reading. @throws {SystemFailure} */
export function openToRead(path: string): number {
  const fd = posix().open(cstring(path), O_CLOEXEC, 0);
  if (fd < 0) throw new SystemFailure(`open ${path}`);
  return fd;
}

/** Gives a file or folder another name, in one step, in place of a file that has it. @throws {SystemFailure} */
export function renamePath(from: string, to: string): void {
  if (posix().rename(cstring(from), cstring(to)) !== 0) throw new SystemFailure(`rename ${from} to ${to}`);
}

/** What a file system says that cannot exchange names, or not those of folders in the lower layers of an overlay. */
const NO_EXCHANGE: readonly number[] = [ERRNO.EINVAL, ERRNO.ENOSYS, ERRNO.EXDEV];

/**
 * Puts a folder in the place of another, in one step where the file system can. What was there is then at the first
 * path, or gone.
 *
 * @throws {SystemFailure}
 */
export function replaceFolder(made: string, place: string): void {
  if (posix().renameat2(AT_FDCWD, cstring(made), AT_FDCWD, cstring(place), RENAME_EXCHANGE) === 0) return;
  const error = errno();
  if (!NO_EXCHANGE.includes(error)) throw new SystemFailure(`exchange ${made} and ${place}`, error);
  const aside = `${place}.aside`;
  removeTree(aside); // of who was killed here
  renamePath(made, aside); // which fails on another file system, while all is there
  moveOrRemove(place, made);
  renamePath(aside, place);
}

/** Gives a folder another name, or removes it where it cannot have one: in the lower layers of an overlay. @throws {SystemFailure} */
export function moveOrRemove(from: string, to: string): void {
  try {
    renamePath(from, to);
  } catch (error) {
    if (!(error instanceof SystemFailure) || error.errno !== ERRNO.EXDEV) throw error;
    removeTree(from);
  }
}

/** Lets nobody but the owner read a file, and nobody write to it. @throws {SystemFailure} */
export function makeReadOnly(path: string): void {
  if (posix().chmod(cstring(path), OWNER_READS) !== 0) throw new SystemFailure(`make ${path} read-only`);
}

/** Notes that a file was used now, where that may be noted. */
export function touchPath(path: string): void {
  posix().utimensat(AT_FDCWD, cstring(path), null, 0);
}

/**
 * Removes a file, or a folder with all that is in it, following no symlink. Harmless where there is none. What is put into
 * a folder meanwhile goes too, unless there is no end of it.
 *
 * @throws {SystemFailure}
 */
export function removeTree(path: string): void {
  const found = fileIdentity(path, "tell");
  if ("error" in found) return;
  const isDirectory = found.kind === "directory";
  for (let tries = 1;; tries++) {
    if (isDirectory) { for (const name of namesIn(path)) removeTree(`${path}/${name}`); }
    const removed = isDirectory ? posix().rmdir(cstring(path)) : posix().unlink(cstring(path));
    if (removed === 0) return;
    const error = errno();
    if (error === ERRNO.ENOENT) return;
    if (error !== ERRNO.ENOTEMPTY || tries === MAX_TRIES) throw new SystemFailure(`remove ${path}`, error);
  }
}

/**
 * Writes a new file of the owner's.
 *
 * @param durably whether to wait until it is on the disk
 * @throws {SystemFailure}
 */
export function writeNewFile(path: string, bytes: Uint8Array<ArrayBuffer>, durably = true): void {
  const fd = posix().open(cstring(path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, OWNER_FILE);
  if (fd < 0) throw new SystemFailure(`make ${path}`);
  try {
    for (let at = 0; at < bytes.length;) {
      const written = Number(posix().write(fd, bytes.subarray(at), BigInt(bytes.length - at)));
      if (written < 0) throw new SystemFailure(`write ${path}`);
      at += written;
    }
    if (durably && posix().fsync(fd) !== 0) throw new SystemFailure(`write ${path}`);
  } finally {
    libc().close(fd);
  }
}
