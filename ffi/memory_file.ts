import { cstring } from "./cstring.ts";
import type { Ffi } from "./runtime.ts";

const LIBC = {
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" }, // (const char *name, unsigned flags)
  write: { parameters: ["i32", "buffer", "usize"], result: "i64" }, // (int fd, const void *bytes, size_t count)
  close: { parameters: ["i32"], result: "i32" }, // (int fd)
  gettid: { parameters: [], result: "i32" }, // (void)
} as const;

const MFD_CLOEXEC = 1;
let opened = 0;

/** A file in memory that a path names while it is open. */
export interface MemoryFile extends Disposable {
  readonly path: string;
}

/**
 * Writes bytes to an anonymous file in memory.
 *
 * The loader tells libraries apart by the path they were opened by, so each path is spelled as no other is: by the
 * thread, and by as many slashes as files it opened. The descriptor can then be closed, and its number used again.
 *
 * @throws {Error} where the system has no memfd or refuses it.
 */
export function memoryFile(ffi: Ffi, name: string, bytes: Uint8Array<ArrayBuffer>): MemoryFile {
  const libc = ffi.open("libc.so.6", LIBC);
  const fd = libc.memfd_create(cstring(name), MFD_CLOEXEC);
  if (fd < 0) throw new Error("memfd_create is refused here");
  const written = libc.write(fd, bytes, BigInt(bytes.length));
  const path = `/proc/self/task/${libc.gettid()}/fd${"/".repeat(++opened)}${fd}`;
  const file = { path, [Symbol.dispose]: () => void libc.close(fd) };
  if (Number(written) === bytes.length) return file;
  file[Symbol.dispose]();
  throw new Error("a memory file could not be written");
}
