import { readText, realPath } from "../../ffi/files.ts";

/** What /proc tells of a process with some ten thousand mappings. */
const MAX_SMAPS_BYTES = 64 << 20;

/** Bytes of a file that are mapped into this process and in memory; `undefined` where the system does not tell. */
export function residentBytes(file: string): number | undefined {
  const path = (realPath(file) ?? file).replaceAll("\n", "\\012"), text = readText("/proc/self/smaps", MAX_SMAPS_BYTES);
  if (!text) return undefined;
  let sum = 0, isFile = false;
  for (const line of text.split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isFile = line.endsWith(` ${path}`);
    else if (isFile && line.startsWith("Rss:")) sum += Number.parseInt(line.slice(4)) * 1024;
  }
  return sum;
}
