import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

// deno-lint-ignore no-explicit-any -- Bun's global is not known to Deno
const bun: { gc(force: boolean): void } | undefined = (globalThis as any).Bun;

let collect: (() => void) | undefined;

function collector(): () => void {
  if (bun) return () => bun.gc(true);
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
}

/** Collects garbage and lets finalizers run, time and again until the condition holds or 200 rounds are over. */
export async function collectUntil(condition: () => boolean): Promise<boolean> {
  collect ??= collector();
  for (let round = 0; round < 200; round++) {
    collect();
    await setTimeout(1); // an idle moment, in which Deno looks at its sockets: while it has work, only every 61 turns
    if (condition()) return true;
  }
  return false;
}
