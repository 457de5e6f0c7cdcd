/** What a process has of the system for shared memory. */
import { readdirSync, readFileSync } from "node:fs";

/** How many descriptors this process has open. */
export function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Those of some regions whose names are still there. */
export function remaining(regions: readonly string[]): string[] {
  const names = new Set(readdirSync("/dev/shm"));
  return regions.filter((region) => names.has(region));
}

/** This process's part of the shared pages that it has touched, in bytes (its proportional set size). */
export function sharedPages(): number {
  const text = readFileSync("/proc/self/smaps_rollup", "utf8");
  return 1024 * Number(/^Pss_Shmem:\s+(\d+) kB$/m.exec(text)![1]);
}
