/** What a process holds, as the system counts it. */
import { readFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

/** Proportional set size in bytes: the process's own pages, and its part of those it shares. */
export interface Memory {
  readonly pss: number;
  /**
   * The same less the pages of files: those of the runtime and its libraries count for less the more processes use
   * them, so that they tell who else runs on the machine. No model lies in them: onnxruntime reads weights into memory.
   */
  readonly pssWithoutFiles: number;
}

/** What this process holds now. */
export function memory(): Memory {
  const text = readFileSync("/proc/self/smaps_rollup", "utf8");
  const bytes = (name: string): number => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)![1]);
  const pss = bytes("Pss");
  return { pss, pssWithoutFiles: pss - bytes("Pss_File") };
}

/** What this process holds when what is on its way out has left: the least of half a second. */
export async function settledMemory(): Promise<Memory> {
  let least = memory();
  for (let i = 0; i < 10; i++) {
    await wait(50);
    const now = memory();
    if (now.pssWithoutFiles < least.pssWithoutFiles) least = now;
  }
  return least;
}

/** Bytes as megabytes of a million. */
export function megabytes(bytes: number): number {
  return bytes / 1e6;
}
