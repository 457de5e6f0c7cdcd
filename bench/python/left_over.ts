import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { Tensor } from "../../mod.ts";
import { liveHandles } from "../../src/handle.ts";
import type { Python } from "../../src/python/mod.ts";
import { atMost, table } from "../support/report.ts";

const TIMES = 200_000, WARM_UP = 200_000, BAR_MIB = 16;

function residentMiB(): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]) / 1024;
}

/** What many conversions leave. */
export async function leftOver(python: Python): Promise<void> {
  const before = liveHandles();
  let first: number, last: number;
  {
    using array = python.eval('__import__("numpy").zeros(256, "f4")');
    using tensor = Tensor.zeros("float32", [256], { storage: "native" });
    const convert = async (times: number): Promise<number> => {
      for (let i = 0; i < times; i++) {
        using _taken = python.fromPython(array), _lent = python.toNumPy(tensor);
        if (i % 1000 === 0) await setTimeout(0);
      }
      return residentMiB();
    };
    first = await convert(WARM_UP);
    last = await convert(TIMES);
  }
  await setTimeout(10);
  const after = liveHandles();
  const left = Object.entries(after).reduce((sum, [kind, count]) => sum + count - (before[kind] ?? 0), 0);
  table(`after ${TIMES} conversions each way`, [
    { what: "memory: before, MiB", found: first },
    { what: "more of it afterwards, MiB", found: last - first, ...atMost(last - first, BAR_MIB, " MiB") },
    { what: "live handles", found: left, ...atMost(left, 0) },
  ]);
}
