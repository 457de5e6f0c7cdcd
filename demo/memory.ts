/**
 * What sharing saves: the memory of real processes whose nodes share their models, beside those whose nodes do not.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { runChild } from "./children.ts";
import { median } from "./median.ts";

/** How the nodes of a child get their models: each its own sessions, or all from the registry. */
export type Sharing = "separate" | "shared";

/** The memory of one number of nodes beyond a process without nodes, in bytes of anonymous PSS. */
export interface MemoryOfNodes {
  readonly nodes: number;
  readonly separate: number;
  readonly shared: number;
}

/** Memory in bytes of anonymous PSS, each the median of its rounds. */
export interface MemoryReport {
  /** A process with the runtime, onnxruntime and one model of 0.6 MB. */
  readonly base: number;
  readonly rows: readonly MemoryOfNodes[];
}

const child = fileURLToPath(new URL("./memory_child.ts", import.meta.url));
const nodeCounts = [3, 10];
const rounds = 3;

/** How many processes {@link measureMemory} starts. */
export const memorySteps: number = rounds * (1 + 2 * nodeCounts.length);

/** Starts the processes one after the other; `onStep` hears of each that is done. */
export async function measureMemory(onStep: (what: string) => void): Promise<MemoryReport> {
  const base = await measure("shared", 0, onStep);
  const rows: MemoryOfNodes[] = [];
  for (const nodes of nodeCounts) {
    const separate = await measure("separate", nodes, onStep) - base;
    const shared = await measure("shared", nodes, onStep) - base;
    rows.push({ nodes, separate, shared });
  }
  return { base, rows };
}

async function measure(sharing: Sharing, nodes: number, onStep: (what: string) => void): Promise<number> {
  const found: number[] = [];
  while (found.length < rounds) {
    found.push(Number(await runChild(child, [sharing, String(nodes)])));
    onStep(`${nodes} nodes, ${sharing}`);
  }
  return median(found);
}
