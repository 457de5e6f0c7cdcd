/**
 * Files that processes share, by their descriptors, every one of which is closed when the process becomes another
 * program.
 *
 * @module
 */
import { cstring } from "./cstring.ts";
import { libc } from "./libc.ts";
import { ffi, type Symbols } from "./mod.ts";
import { ERRNO, SystemFailure } from "./system_failure.ts";

const SIGNATURES = {
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32" }, // (int fd, int mode, off_t offset, off_t length)
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" }, // (int fd, int command, int argument)
  ftruncate: { parameters: ["i32", "i64"], result: "i32" }, // (int fd, off_t length)
  geteuid: { parameters: [], result: "u32" }, // uid_t (void)
  linkat: { parameters: ["i32", "buffer", "i32", "buffer", "i32"], result: "i32" }, // (int from, const char *path, int to, const char *path, int flags)
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" }, // (const char *name, unsigned flags)
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" }, // (const char *path, int flags, mode_t mode)
  posix_fallocate: { parameters: ["i32", "i64", "i64"], result: "i32" }, // (int fd, off_t offset, off_t length): an error number
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "i64" }, // ssize_t (int fd, void *buffer, size_t count, off_t offset)
  shm_open: { parameters: ["buffer", "i32", "u32"], result: "i32" }, // (const char *name, int flags, mode_t mode)
  shm_unlink: { parameters: ["buffer"], result: "i32" }, // (const char *name)
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" }, // (int dirfd, const char *path, int flags, unsigned mask, struct statx *)
} as const;

const O_RDWR = 2, O_CLOEXEC = 0x80000, O_NOFOLLOW = ffi.arch === "arm64" ? 0x8000 : 0x20000, O_NONBLOCK = 0x800;
const O_TMPFILE = 0x400000 | (ffi.arch === "arm64" ? 0x4000 : 0x10000);
const AT_FDCWD = -100, AT_EMPTY_PATH = 0x1000, AT_SYMLINK_FOLLOW = 0x400, STATX_BASIC_STATS = 0x7ff;
const MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_NOEXEC_SEAL = 8;
const F_ADD_SEALS = 1033, F_GET_SEALS = 1034;
const FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2;
/** `F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW`: nobody can change the file's size any more, nor take that back. */
const SIZE_SEALS = 1 | 2 | 4;
const OWNER_MODE = 0o600, S_IFMT = 0o170000, S_IFREG = 0o100000;

let symbols: Symbols<typeof SIGNATURES> | undefined;
const posix = (): Symbols<typeof SIGNATURES> => symbols ??= ffi.open("libc.so.6", SIGNATURES);

const status = new Uint8Array(256), statusView = new DataView(status.buffer);

function checked(fd: number, doing: string): number {
  if (fd < 0) throw new SystemFailure(doing);
  return fd;
}

/** What a descriptor leads to. */
export interface DescriptorStatus {
  readonly regular: boolean;
  /** Which file it is, among all of the machine. */
  readonly identity: string;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  /** Names the file has. */
  readonly links: number;
  readonly byteLength: number;
  /** Bytes that the file really takes. */
  readonly allocatedBytes: number;
}

/** This process's effective user. */
export function effectiveUser(): number {
  return posix().geteuid();
}

/** Closes a descriptor. */
export function closeDescriptor(fd: number): void {
  libc().close(fd);
}

/** Looks at what a descriptor leads to. @throws {SystemFailure} */
export function statusOf(fd: number): DescriptorStatus {
  if (posix().statx(fd, cstring(""), AT_EMPTY_PATH, STATX_BASIC_STATS, status) !== 0) {
    throw new SystemFailure("look at a file");
  }
  const mode = statusView.getUint16(28, true);
  return {
    links: statusView.getUint32(16, true),
    uid: statusView.getUint32(20, true),
    identity: `${statusView.getUint32(136, true)}:${statusView.getUint32(140, true)}:${
      statusView.getBigUint64(32, true)
    }`,
    regular: (mode & S_IFMT) === S_IFREG,
    mode: mode & 0o7777,
    byteLength: Number(statusView.getBigUint64(40, true)),
    allocatedBytes: Number(statusView.getBigUint64(48, true)) * 512,
  };
}

/** A new file that has no name yet. @throws {SystemFailure} */
export function createNameless(directory: string): number {
  const fd = posix().open(cstring(directory), O_TMPFILE | O_RDWR | O_CLOEXEC, OWNER_MODE);
  return checked(fd, `make a file in ${directory}`);
}

/** Gives a nameless file its name, in one step. @throws {SystemFailure} */
export function nameDescriptor(fd: number, path: string): void {
  const from = cstring(`/proc/self/fd/${fd}`);
  if (posix().linkat(AT_FDCWD, from, AT_FDCWD, cstring(path), AT_SYMLINK_FOLLOW) !== 0) {
    throw new SystemFailure(`name ${path}`);
  }
}

/** A new file in memory that has no name, and whose size can be sealed. @throws {SystemFailure} */
export function createMemoryDescriptor(name: string): number {
  const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING, text = cstring(name);
  const fd = posix().memfd_create(text, flags | MFD_NOEXEC_SEAL); // which kernels before 6.3 do not know
  return fd >= 0 ? fd : checked(posix().memfd_create(text, flags), "make a file in memory");
}

/** Seals a memory file's size for ever. @throws {SystemFailure} */
export function sealSize(fd: number): void {
  if (posix().fcntl(fd, F_ADD_SEALS, SIZE_SEALS) !== 0) throw new SystemFailure("seal a file in memory");
}

/** Whether a descriptor is of a memory file whose size is sealed. */
export function isSizeSealed(fd: number): boolean {
  const seals = posix().fcntl(fd, F_GET_SEALS, 0);
  return seals >= 0 && (seals & SIZE_SEALS) === SIZE_SEALS;
}

/** Makes a file this long, every byte of it there: a later touch cannot fail. @throws {SystemFailure} ENOSPC */
export function reserveBytes(fd: number, byteLength: number): void {
  let error: number;
  do error = posix().posix_fallocate(fd, 0n, BigInt(byteLength)); while (error === ERRNO.EINTR);
  if (error !== 0) throw new SystemFailure(`reserve ${byteLength} bytes`, error);
}

/** Gives back what a part of a file holds, which reads as zeros from then on. Whether the system did so. */
export function punchHole(fd: number, byteOffset: number, byteLength: number): boolean {
  const mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return posix().fallocate(fd, mode, BigInt(byteOffset), BigInt(byteLength)) === 0;
}

/** Opens the shared memory of a name for reading and writing, not through a symlink and without waiting. @throws {SystemFailure} */
export function openShared(name: string): number {
  return checked(
    posix().shm_open(cstring(`/${name}`), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0),
    `open shared memory ${name}`,
  );
}

/** Takes the name of shared memory away. Whether it had one. */
export function unlinkShared(name: string): boolean {
  return posix().shm_unlink(cstring(`/${name}`)) === 0;
}

/** Opens a process's descriptor anew, with an open file description of its own. @throws {SystemFailure} */
export function reopenDescriptor(fd: number, pid: number | "self" = "self"): number {
  const path = `/proc/${pid}/fd/${fd}`;
  return checked(posix().open(cstring(path), O_RDWR | O_CLOEXEC | O_NONBLOCK, 0), `open ${path}`);
}

/** A copy of the first bytes of a file, fewer where it is shorter. @throws {SystemFailure} */
export function readStart(fd: number, byteLength: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(byteLength), read = Number(posix().pread(fd, bytes, BigInt(byteLength), 0n));
  if (read < 0) throw new SystemFailure("read a file");
  return bytes.subarray(0, read);
}

/** Makes a file so long, without taking memory for it: where there is none, a later touch fails. @throws {SystemFailure} */
export function setLength(fd: number, byteLength: number): void {
  if (posix().ftruncate(fd, BigInt(byteLength)) !== 0) throw new SystemFailure(`make a file ${byteLength} bytes long`);
}
