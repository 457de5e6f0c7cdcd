import { readFileSync } from "node:fs";

/** The proportional set size of this process in bytes: its own pages, and its part of those it shares. */
export function pss(): number {
  return 1024 * Number(/^Pss:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))![1]);
}
