import { cstring } from "./cstring.ts";
import { ffi, type Symbols } from "./mod.ts";
import { readText } from "./files.ts";
import { SystemFailure } from "./system_failure.ts";

const SIGNATURES = {
  closedir: { parameters: ["pointer"], result: "i32" }, // (DIR *)
  opendir: { parameters: ["buffer"], result: "pointer" }, // DIR *(const char *path)
  readdir: { parameters: ["pointer"], result: "pointer" }, // struct dirent *(DIR *)
  statvfs: { parameters: ["buffer", "buffer"], result: "i32" }, // (const char *path, struct statvfs *)
} as const;

/** Where a `struct dirent` of 64-bit Linux has its name. */
const NAME = 19;
/** Positions in the 64-bit words of a `struct statvfs`: bytes of a fragment, fragments, fragments that users may have. */
const FRAGMENT = 1, TOTAL = 2, AVAILABLE = 4, STATVFS_WORDS = 14;

let symbols: Symbols<typeof SIGNATURES> | undefined;
const posix = (): Symbols<typeof SIGNATURES> => symbols ??= ffi.open("libc.so.6", SIGNATURES);

/** The names in a directory. (By C, for it needs no permission of its own on Deno.) @throws {SystemFailure} */
export function namesIn(directory: string): string[] {
  const { opendir, readdir, closedir } = posix(), stream = opendir(cstring(directory)), names: string[] = [];
  if (stream === null) throw new SystemFailure(`list ${directory}`);
  for (let entry = readdir(stream); entry !== null; entry = readdir(stream)) {
    names.push(ffi.string(ffi.pointer(ffi.address(entry) + BigInt(NAME))!));
  }
  closedir(stream);
  return names.filter((name) => name !== "." && name !== "..");
}

/** The size of the file system that a path lies on, and what of it can be had, in bytes. @throws {SystemFailure} */
export function fileSystemSpace(path: string): { readonly totalBytes: number; readonly freeBytes: number } {
  const words = new BigUint64Array(STATVFS_WORDS);
  if (posix().statvfs(cstring(path), words) !== 0) throw new SystemFailure(`look at the file system of ${path}`);
  const unit = Number(words[FRAGMENT]);
  return { totalBytes: Number(words[TOTAL]) * unit, freeBytes: Number(words[AVAILABLE]) * unit };
}

/** Bytes of the machine's memory that can be had without swapping, as the kernel estimates; `undefined` where it does not. */
export function availableMemory(): number | undefined {
  const match = /^MemAvailable:\s+(\d+) kB$/m.exec(readText("/proc/meminfo") ?? "");
  return match ? Number(match[1]) * 1024 : undefined;
}
