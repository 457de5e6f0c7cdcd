import { readFileSync } from "node:fs";

/**
 * Bytes that a process has written and not given back, its part of what it shares included. Files that are mapped, as
 * the runtime is, do not count: a process's part of them changes when others that have them come and go.
 *
 * @param pid this process, otherwise
 */
export function writtenBytes(pid: number | "self" = "self"): number {
  const all = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").matchAll(/^Pss_(?:Anon|Shmem):\s+(\d+) kB$/gm);
  return 1024 * [...all].reduce((sum, [, kB]) => sum + Number(kB), 0);
}
