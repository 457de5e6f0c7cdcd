import { cstring } from "./cstring.ts";
import type { Ffi } from "./runtime.ts";

const LIBC = {
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" }, // (const char *name, unsigned flags)
  write: { parameters: ["i32", "buffer", "usize"], result: "i64" }, // (int fd, const void *bytes, size_t count)
  close: { parameters: ["i32"], result: "i32" }, // (int fd)
} as const;

const MFD_CLOEXEC = 1;

/** A file in memory that a path names while it is open. */
export interface MemoryFile extends Disposable {
  readonly path: string;
}

/** A number of 40 random bits, in a spelling that leaves a path what it is: a slash for 0, a slash and a dot for 1. */
function detour(): string {
  const bits = Array.from(crypto.getRandomValues(new Uint8Array(5)), (byte) => byte.toString(2).padStart(8, "0"));
  return bits.join("").replaceAll("1", "/.").replaceAll("0", "/");
}

/**
 * Writes bytes to an anonymous file in memory.
 *
 * The loader tells libraries apart by the path they were opened by, so each path is spelled as no other of the process
 * is, whichever thread or isolate opens it. The descriptor can then be closed, and its number used again.
 *
 * @throws {Error} where the system has no memfd or refuses it.
 */
export function memoryFile(ffi: Ffi, name: string, bytes: Uint8Array<ArrayBuffer>): MemoryFile {
  const libc = ffi.open("libc.so.6", LIBC);
  const fd = libc.memfd_create(cstring(name), MFD_CLOEXEC);
  if (fd < 0) throw new Error("memfd_create is refused here");
  const written = libc.write(fd, bytes, BigInt(bytes.length));
  const path = `/proc/self/fd${detour()}/${fd}`;
  const file = { path, [Symbol.dispose]: () => void libc.close(fd) };
  if (Number(written) === bytes.length) return file;
  file[Symbol.dispose]();
  throw new Error("a memory file could not be written");
}
