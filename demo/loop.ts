/**
 * Does the event loop stay free while a model runs? And how long does a hit of the registry take?
 *
 * @module
 */
import { setTimeout as wait } from "node:timers/promises";
import { readFile } from "node:fs/promises";
import { models } from "../mod.ts";
import type { DemoFiles } from "./files.ts";
import { decodePicture } from "./image.ts";
import { median } from "./median.ts";
import { detectionInput } from "./ocr/detect.ts";

/** The longest time that a timer of 1 ms was kept waiting, in ms; each the median of its rounds. */
export interface LoopReport {
  readonly idle: number;
  readonly run: number;
  readonly runSync: number;
  /** How long one run takes, in ms. */
  readonly oneRun: number;
}

/** How many rounds {@link measureLoop} takes. */
export const loopRounds = 3;
const runs = 3;

/** Runs text detection on the picture in both ways, and watches the loop; `onRound` hears of each round. */
export async function measureLoop(files: DemoFiles, onRound: (what: string) => void): Promise<LoopReport> {
  using session = await models.load(files.detection);
  using input = detectionInput(decodePicture(await readFile(files.picture)));
  const feeds = { [session.inputs[0].name]: input };
  const found: LoopReport[] = [];
  while (found.length < loopRounds) {
    const started = performance.now();
    session.runSync(feeds)[Symbol.dispose]();
    const oneRun = performance.now() - started;
    const idle = await longestGap(() => wait(oneRun * runs));
    const run = await longestGap(async () => {
      for (let i = 0; i < runs; i++) (await session.run(feeds))[Symbol.dispose]();
    });
    const runSync = await longestGap(async () => {
      for (let i = 0; i < runs; i++) {
        session.runSync(feeds)[Symbol.dispose]();
        await wait(1);
      }
    });
    found.push({ idle, run, runSync, oneRun });
    onRound("run() and runSync()");
  }
  const middle = (of: keyof LoopReport) => median(found.map((report) => report[of]));
  return { idle: middle("idle"), run: middle("run"), runSync: middle("runSync"), oneRun: middle("oneRun") };
}

async function longestGap(work: () => Promise<void>): Promise<number> {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return Math.max(longest, performance.now() - last);
}

/** The median time of a hit and its release in microseconds. */
export function measureHits(path: string): number {
  const hits = 100;
  const times: number[] = [];
  for (let sample = 0; sample < 101; sample++) {
    const started = performance.now();
    for (let i = 0; i < hits; i++) models.get(path)?.[Symbol.dispose]();
    times.push((performance.now() - started) * 1000 / hits);
  }
  return median(times);
}
