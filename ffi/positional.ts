import { errno } from "./libc.ts";
import { ffi, type Symbols } from "./mod.ts";
import { ERRNO, SystemFailure } from "./system_failure.ts";

const SIGNATURES = {
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "i64" }, // ssize_t (int fd, void *buffer, size_t count, off_t offset)
  pwrite: { parameters: ["i32", "buffer", "usize", "i64"], result: "i64" }, // ssize_t (int fd, const void *buffer, size_t count, off_t offset)
} as const;

let symbols: Symbols<typeof SIGNATURES> | undefined;
const posix = (): Symbols<typeof SIGNATURES> => symbols ??= ffi.open("libc.so.6", SIGNATURES);

/** Fills memory with what lies at an offset of a file. Returns how many bytes there were. @throws {SystemFailure} */
export function readAt(fd: number, into: Uint8Array, byteOffset: number): number {
  return inPieces("pread", "read", { fd, bytes: into as Uint8Array<ArrayBuffer>, byteOffset });
}

/** Writes bytes at an offset of a file. Returns how many it took, all as a rule. @throws {SystemFailure} */
export function writeAt(fd: number, from: Uint8Array, byteOffset: number): number {
  return inPieces("pwrite", "write", { fd, bytes: from as Uint8Array<ArrayBuffer>, byteOffset });
}

/** The system takes no more than 2 GiB at once, and may take less. */
function inPieces(
  call: keyof typeof SIGNATURES,
  doing: string,
  { fd, bytes, byteOffset }: {
    readonly fd: number;
    readonly bytes: Uint8Array<ArrayBuffer>;
    readonly byteOffset: number;
  },
): number {
  let done = 0;
  while (done < bytes.length) {
    const rest = bytes.length - done, piece = done === 0 ? bytes : bytes.subarray(done);
    const moved = Number(posix()[call](fd, piece, BigInt(rest), BigInt(byteOffset + done)));
    if (moved > 0) {
      done += moved;
      continue;
    }
    if (moved === 0) break;
    const error = errno();
    if (error !== ERRNO.EINTR) throw new SystemFailure(`${doing} a file`, error);
  }
  return done;
}
