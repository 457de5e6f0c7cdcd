import { readFileSync } from "node:fs";

/**
 * Bytes that a process has written and not given back, its part of what it shares included. Files that are mapped, as
 * the runtime is, do not count: a process's part of them changes when others that have them come and go.
 *
 * @param pid this process, otherwise
 */
export function writtenBytes(pid: number | "self" = "self"): number {
  return 1024 * Number(/^Pss_Dirty:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))![1]);
}
