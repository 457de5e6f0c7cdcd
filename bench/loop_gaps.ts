/**
 * How long is the event loop kept waiting while C works? mitata times functions, and this is about what else the loop
 * could do meanwhile: a timer of 1 ms notes the longest time between two of its ticks.
 */
import { setTimeout as wait } from "node:timers/promises";
import { writeWeights } from "../test/support/models.ts";
import { Child } from "./support/child.ts";
import { percentile } from "./support/contest.ts";
import { ScratchFolder } from "./support/ending.ts";
import { atMost, header, remark, type Row, table } from "./support/report.ts";
import { iterationsFor, Steps } from "./support/steps.ts";

const LARGE = 1.4e9, ROUNDS = 5, RUN_MS = 400, LEAST_MS = 250;
/** How much more than the busy control. */
const BAR_MS = 20;

interface Gaps {
  readonly took: number[];
  readonly ours: number[];
  readonly busy: number[];
  readonly idle: number[];
}

/** The longest time between two ticks, and how long the work took, in ms. */
async function longestGap(work: () => Promise<void>): Promise<{ gap: number; took: number }> {
  const started = performance.now();
  let longest = 0, last = started;
  const tick = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  };
  const timer = setInterval(tick, 1);
  try {
    await work();
  } finally {
    clearInterval(timer);
    tick();
  }
  return { gap: longest, took: performance.now() - started };
}

async function measure(steps: Steps, child: Child): Promise<Map<string, Gaps>> {
  const names = Object.keys(steps.all) as (keyof Steps["all"])[];
  const found = new Map(names.map((name): [string, Gaps] => [name, { took: [], ours: [], busy: [], idle: [] }]));
  for (let round = -1; round < ROUNDS; round++) { // the first warms up
    for (const name of names) {
      const ours = await longestGap(steps.all[name]);
      const busy = await longestGap(() => child.ask("take", name));
      const idle = await longestGap(() => wait(Math.min(ours.took, 1000)));
      const gaps = found.get(name)!;
      if (round < 0) continue;
      gaps.took.push(ours.took);
      gaps.ours.push(ours.gap);
      gaps.busy.push(busy.gap);
      gaps.idle.push(idle.gap);
    }
  }
  return found;
}

function row([what, { took, ours, busy, idle }]: [string, Gaps]): Row {
  const median = (values: number[]): number => percentile(values, 0.5);
  return {
    what,
    "took ms": median(took),
    "longest gap ms": median(ours),
    "busy control ms": median(busy),
    "idle control ms": median(idle),
    "worst round ms": Math.max(...ours),
    "worst busy ms": Math.max(...busy),
    ...atMost(median(ours) - median(busy), BAR_MS, " ms above busy"),
  };
}

if (import.meta.main) {
  await header("How long is the event loop kept waiting while C works?");
  using folder = new ScratchFolder();
  const large = folder.join("large.onnx");
  writeWeights({ path: large, byteLength: LARGE });
  const iterations = await iterationsFor(RUN_MS), steps = await Steps.open(large, iterations);
  using child = new Child(new URL("./children/gaps.ts", import.meta.url));
  await child.ask("open", large, iterations);
  const found = await measure(steps, child);
  table(`medians of ${ROUNDS} rounds; busy: the same work in another process`, [...found].map(row));
  for (const [name, { took }] of found) {
    if (!name.startsWith("dispose") && Math.min(...took) < LEAST_MS) remark(`${name} took less than ${LEAST_MS} ms`);
  }
}
