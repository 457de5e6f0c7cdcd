import {
  createMemoryDescriptor,
  createNameless,
  effectiveUser,
  isSizeSealed,
  nameDescriptor,
  openShared,
  readStart,
  reopenDescriptor,
  reserveBytes,
  sealSize,
  statusOf,
} from "../../ffi/descriptors.ts";
import { linkTarget } from "../../ffi/files.ts";
import { availableMemory, fileSystemSpace } from "../../ffi/file_system.ts";
import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { type ProcessIdentity, processIdentity, startTimeOf } from "../../ffi/process_identity.ts";
import { ERRNO, SystemFailure } from "../../ffi/system_failure.ts";
import { MemoryError, NativeError, SystemError, typeError } from "../errors.ts";
import { decodeHeader, HEADER_BYTE_LENGTH, type RegionLayout } from "./region_layout.ts";

/**
 * What a region lies in: a `named` file of /dev/shm, or a `memfd` file without a name, whose size nobody can change and
 * which the kernel frees with its last user.
 */
export type Backend = "named" | "memfd";

/** @throws {TypeError} INVALID_ARGUMENT for what is no backend */
export function checkBackend(backend: Backend): void {
  if (backend === "named" || backend === "memfd") return;
  const message = `Cannot share memory: the backend "named" or "memfd" wanted, ${String(backend)} found`;
  throw typeError("INVALID_ARGUMENT", message);
}

/** Where named regions lie: what `shm_open` opens. */
export const SHARED_DIRECTORY = "/dev/shm";

/** So little is reserved without a look at what the machine has. */
const ALWAYS_TRIED = 16 << 20;

const NAMED = /^coload-([0-9a-f]{32})$/;
/** pid namespace, pid, start time, descriptor, id */
const MEMFD = /^memfd-(\d{1,10})-(\d{1,10})-(\d{1,15})-(\d{1,10})-([0-9a-f]{32})$/;

/** An open file of a region. */
export interface RegionFile {
  readonly descriptor: OwnedDescriptor;
  readonly backend: Backend;
  readonly layout: RegionLayout;
}

/** Whether a name in /dev/shm could be a region's. */
export function isRegionName(name: string): boolean {
  return NAMED.test(name);
}

/** The backend that a region's name tells. @throws {TypeError} INVALID_REFERENCE for what no region is called */
function backendOf(name: string): Backend {
  if (typeof name === "string" && NAMED.test(name)) return "named";
  if (typeof name === "string" && MEMFD.test(name)) return "memfd";
  const found = typeof name === "string" ? JSON.stringify(name.slice(0, 80)) : typeof name;
  const wanted = '"coload-" and 32 hexadecimal digits wanted, or the name of a memfd region';
  throw typeError("INVALID_REFERENCE", `Cannot open region ${found}: ${wanted}`);
}

function cannotCreate(error: unknown, backend: Backend, byteLength: number): Error {
  if (!(error instanceof SystemFailure)) return error as Error;
  const doing = `Cannot make a ${backend} region of ${byteLength} bytes`;
  if (error.errno !== ERRNO.ENOSPC && error.errno !== ERRNO.ENOMEM) {
    return new SystemError("SYSTEM", `${doing}: ${error.message}`, { cause: error });
  }
  const room = backend === "named" ? { availableBytes: fileSystemSpace(SHARED_DIRECTORY).freeBytes } : {};
  const where = backend === "named" ? `${SHARED_DIRECTORY} has ${room.availableBytes} bytes free` : error.message;
  return new MemoryError("OUT_OF_MEMORY", `${doing}: ${where}`, { cause: error, neededBytes: byteLength, ...room });
}

/** Refuses what the machine's memory does not hold: to reserve it would end processes, and fail only then. */
function checkAvailable(byteLength: number): void {
  if (byteLength < ALWAYS_TRIED) return;
  const availableBytes = availableMemory();
  if (availableBytes === undefined || byteLength <= availableBytes) return;
  const message =
    `Cannot make a region of ${byteLength} bytes: the machine has ${availableBytes} bytes of memory available`;
  throw new MemoryError("OUT_OF_MEMORY", message, { neededBytes: byteLength, availableBytes });
}

/**
 * Makes a file with room for a region. A named one has no name yet.
 *
 * @throws {MemoryError} OUT_OF_MEMORY where there is no room for all of it
 * @throws {SystemError} SYSTEM where the backend is missing or refused
 */
export function createFile(backend: Backend, { id, byteLength }: RegionLayout): OwnedDescriptor {
  let descriptor: OwnedDescriptor | undefined;
  try {
    checkAvailable(byteLength);
    descriptor = new OwnedDescriptor(
      backend === "named" ? createNameless(SHARED_DIRECTORY) : createMemoryDescriptor(`coload-${id}`),
    );
    reserveBytes(descriptor.fd, byteLength);
    if (backend === "memfd") sealSize(descriptor.fd);
    return descriptor;
  } catch (error) {
    descriptor?.[Symbol.dispose]();
    throw cannotCreate(error, backend, byteLength);
  }
}

/** The name of a memfd region: how a process of the same pid namespace opens it through the one that made it. */
export function memfdName({ namespace, pid, startTime }: ProcessIdentity, fd: number, id: string): string {
  return `memfd-${namespace}-${pid}-${startTime}-${fd}-${id}`;
}

/** Lets others find a region that is complete, and returns its name. @throws {SystemError} SYSTEM */
export function publishFile(backend: Backend, fd: number, { id, byteLength }: RegionLayout): string {
  if (backend === "memfd") {
    const identity = processIdentity();
    if (identity.startTime > 0) return memfdName(identity, fd, id);
    throw new SystemError("SYSTEM", "Cannot make a memfd region: /proc does not tell when this process started");
  }
  try {
    nameDescriptor(fd, `${SHARED_DIRECTORY}/coload-${id}`);
  } catch (error) {
    throw cannotCreate(error, backend, byteLength);
  }
  return `coload-${id}`;
}

/**
 * Opens a region's file by its name and reads its header, once. Whoever owns the file and may change its size is looked
 * at before.
 *
 * @throws {TypeError} INVALID_REFERENCE
 * @throws {NativeError} REGION_NOT_FOUND; REGION_FORBIDDEN; REGION_INVALID; REGION_UNREACHABLE
 */
export function openFile(name: string): RegionFile {
  const backend = backendOf(name);
  const fd = backend === "named" ? openNamed(name) : openByProcess(name, MEMFD.exec(name)!.slice(1, 5).map(Number));
  return checkedFile(new OwnedDescriptor(fd), name, backend);
}

/** Opens a region by a memfd that was passed here, which stays the caller's. @throws {NativeError} as {@linkcode openFile} */
export function openPassed(fd: number): RegionFile {
  const name = `of descriptor ${fd}`;
  try {
    return checkedFile(new OwnedDescriptor(reopenDescriptor(fd)), name, "memfd");
  } catch (error) {
    throw error instanceof SystemFailure ? refused(error, name) : error;
  }
}

function checkedFile(descriptor: OwnedDescriptor, name: string, backend: Backend): RegionFile {
  const { fd } = descriptor;
  try {
    const { regular, uid, mode, byteLength } = statusOf(fd), user = effectiveUser();
    const forbidden = (why: string) => new NativeError("REGION_FORBIDDEN", `Cannot open region ${name}: ${why}`);
    if (uid !== user) throw forbidden(`it belongs to user ${uid}, and this process runs as user ${user}`);
    if (!regular) throw forbidden("it is no file");
    if (backend === "named" && (mode & 0o077) !== 0) {
      throw forbidden(`other users may reach it: mode 600 wanted, ${mode.toString(8)} found`);
    }
    if (backend === "memfd" && !isSizeSealed(fd)) {
      throw forbidden("its size is not sealed: whoever has it could cut it");
    }
    const layout = decodeHeader(name, readStart(fd, HEADER_BYTE_LENGTH), byteLength);
    if (MEMFD.test(name) && !name.endsWith(layout.id)) throw notFound(name);
    return { descriptor, backend, layout };
  } catch (error) {
    descriptor[Symbol.dispose]();
    throw error;
  }
}

function notFound(name: string, cause?: Error): NativeError {
  return new NativeError("REGION_NOT_FOUND", `Cannot open region ${name}: it is gone`, { cause });
}

function refused(error: SystemFailure, name: string): NativeError {
  const { ENOENT, ELOOP, EISDIR, EINVAL, EACCES, EPERM, ENXIO } = ERRNO;
  if (error.errno === ENOENT) return notFound(name, error);
  if ([ELOOP, EISDIR, EINVAL, EACCES, EPERM, ENXIO].some((number) => number === error.errno)) {
    const why = error.errno === ELOOP ? "a symlink has its name" : error.message;
    return new NativeError("REGION_FORBIDDEN", `Cannot open region ${name}: ${why}`, { cause: error });
  }
  return new SystemError("SYSTEM", `Cannot open region ${name}: ${error.message}`, { cause: error });
}

function openNamed(name: string): number {
  try {
    return openShared(name);
  } catch (error) {
    throw refused(error as SystemFailure, name);
  }
}

/** Opens a memfd through the process that made it, if it is the one that the name means. */
function openByProcess(name: string, [namespace, pid, startTime, fd]: readonly number[]): number {
  const own = processIdentity();
  if (namespace !== own.namespace) {
    const message = `Cannot open region ${name}: it was made in pid namespace ${namespace}, this process is in ` +
      `${own.namespace}; pass its descriptor, or use the backend "named"`;
    throw new NativeError("REGION_UNREACHABLE", message);
  }
  const id = name.slice(-32), isStill = linkTarget(`/proc/${pid}/fd/${fd}`)?.startsWith(`/memfd:coload-${id} `) ?? true;
  if (startTimeOf(pid!) !== startTime || !isStill) throw notFound(name); // its number is another file's by now
  try {
    return reopenDescriptor(fd!, pid!);
  } catch (error) {
    throw refused(error as SystemFailure, name);
  }
}
