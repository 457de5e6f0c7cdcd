import { effectiveUser, openShared, statusOf } from "../../../ffi/descriptors.ts";
import { OwnedDescriptor } from "../../../ffi/owned_descriptor.ts";
import { ERRNO, SystemFailure } from "../../../ffi/system_failure.ts";
import { type OipError, quote, showValue } from "../../protocol/oip/oip_error.ts";

/** Which part of which shared memory a region is. */
export interface Registration {
  /** As it was given: the memory's name, with or without a slash before it. */
  readonly key: string;
  readonly offset: number;
  readonly byteSize: number;
}

/** Says why a region cannot be registered. */
export type Refuse = (why: string) => OipError;

/** Characters that can be seen, and spaces: no slash, no control characters, no other lines. */
const NAME = /^[^\p{C}\p{Zl}\p{Zp}/]{1,256}$/u;
/** Of a file's name, in bytes. */
const MOST_KEY_BYTES = 255;
/** What a directory and a socket answer. */
const NO_FILE: readonly number[] = [ERRNO.EISDIR, ERRNO.EINVAL, ERRNO.ENXIO];

const isWhole = (found: unknown, least: number): found is number =>
  Number.isSafeInteger(found) && (found as number) >= least;

/** Checks what a client says of a region, and of no file yet. @throws {OipError} 400 */
export function readRegistration(name: string, found: unknown, refuse: Refuse): Registration {
  if (typeof name !== "string" || !NAME.test(name)) {
    throw refuse("a name of 1 to 256 printable characters without a slash wanted");
  }
  if (typeof found !== "object" || found === null) throw refuse("key, offset and byte_size wanted");
  const { key, offset: from, byte_size: byteSize } = found as Readonly<Record<string, unknown>>, offset = from ?? 0;
  if (typeof key !== "string") throw refuse(`a text wanted as key, ${showValue(key)} found`);
  checkFile(fileOf(key), key, refuse);
  if (!isWhole(offset, 0)) throw refuse(`an offset from 0 up wanted, ${showValue(offset)} found`);
  if (!isWhole(byteSize, 1)) throw refuse(`a byte_size from 1 up wanted, ${showValue(byteSize)} found`);
  return { key, offset, byteSize };
}

/** The name in /dev/shm that a key means. */
const fileOf = (key: string): string => key.startsWith("/") ? key.slice(1) : key;

function checkFile(file: string, key: string, refuse: Refuse): void {
  const isFine = !["", ".", ".."].includes(file) && !file.includes("/") && !file.includes("\0");
  if (!isFine) throw refuse(`a key such as "/name" wanted, of one name alone, ${quote(key)} found`);
  const { length } = new TextEncoder().encode(file);
  if (length > MOST_KEY_BYTES) throw refuse(`a key of ${MOST_KEY_BYTES} bytes at most wanted, ${length} found`);
}

/**
 * Opens the shared memory of a region that lies within it: a file of this user's, and nothing that is none.
 *
 * @throws {OipError} 400
 */
export function openRegistered({ key, offset, byteSize }: Registration, refuse: Refuse): OwnedDescriptor {
  const descriptor = openKey(key, refuse);
  try {
    const { regular, uid, byteLength } = statusOf(descriptor.fd), user = effectiveUser();
    if (!regular) throw refuse(`${quote(key)} is no file`);
    if (uid !== user) throw refuse(`${quote(key)} belongs to user ${uid}, and this process runs as user ${user}`);
    if (byteSize > byteLength || offset > byteLength - byteSize) {
      throw refuse(`${quote(key)} has ${byteLength} bytes, and no ${byteSize} from ${offset} on`);
    }
    return descriptor;
  } catch (error) {
    descriptor[Symbol.dispose]();
    throw error;
  }
}

function openKey(key: string, refuse: Refuse): OwnedDescriptor {
  try {
    return new OwnedDescriptor(openShared(fileOf(key)));
  } catch (error) {
    if (!(error instanceof SystemFailure)) throw error;
    if (error.errno === ERRNO.ENOENT) throw refuse(`there is no shared memory ${quote(key)}`);
    if (error.errno === ERRNO.ELOOP) throw refuse(`${quote(key)} is a symlink`);
    if (NO_FILE.includes(error.errno)) throw refuse(`${quote(key)} is no file`);
    throw refuse(error.message);
  }
}
