/** What a process holds, and how much of it lies in files that others map too. Needs nothing of Coload. */
import { readFileSync } from "node:fs";
import { memory } from "../support/memory.ts";

/** Proportional set size in bytes. */
export interface Held {
  readonly pss: number;
  /** The process's part of the pages of files in the bench's folder: of weights, as they lie in a model or a copy. */
  readonly weights: number;
}

/** What this process holds now. */
export function held(folder: string): Held {
  let weights = 0, counts = false;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) counts = line.includes(` ${folder}/`);
    else if (counts && line.startsWith("Pss:")) weights += 1024 * Number.parseInt(line.slice(4));
  }
  return { pss: memory().pss, weights };
}

/** What several processes hold together. */
export function together(all: readonly Held[]): Held {
  const sum = (value: (held: Held) => number): number => all.reduce((total, one) => total + value(one), 0);
  return { pss: sum(({ pss }) => pss), weights: sum(({ weights }) => weights) };
}
