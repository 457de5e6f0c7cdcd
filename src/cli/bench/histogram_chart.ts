import type { Recording } from "./recording.ts";
import { formatCount, formatMs } from "./units.ts";

const MOST_BARS = 12, WIDTH = 40;
/** Bars nearer to each other than this, as a ratio, say nothing. */
const LEAST_RATIO = 1.05;
/** A nanosecond, so that there is a ratio to it. */
const LEAST_MS = 1e-6;
const BLOCKS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

function bar(share: number): string {
  const eighths = Math.max(share > 0 ? 1 : 0, Math.round(share * WIDTH * 8));
  return "█".repeat(Math.floor(eighths / 8)) + BLOCKS[eighths % 8];
}

/** How many requests took how long: bars of equal ratio from the shortest latency to the longest. */
export function histogramChart(recording: Recording): string[] {
  const { latency, successes } = recording;
  if (latency === undefined) return [];
  const min = Math.max(latency.min, LEAST_MS), spread = Math.log(Math.max(latency.max / min, 1));
  const count = Math.min(MOST_BARS, Math.max(1, Math.ceil(spread / Math.log(LEAST_RATIO))));
  const bars = Array<number>(count).fill(0);
  for (const { latencyMs, count: requests } of recording.counts()) {
    const at = spread === 0 ? 0 : Math.floor(Math.log(Math.max(latencyMs / min, 1)) / spread * count);
    bars[Math.min(at, count - 1)]! += requests;
  }
  const ends = bars.map((_, i) => formatMs(i === count - 1 ? latency.max : min * Math.exp(spread * (i + 1) / count)));
  const counts = bars.map(formatCount), most = Math.max(...bars);
  const widths = [ends, counts].map((texts) => Math.max(...texts.map(({ length }) => length)));
  let sum = 0;
  return bars.map((requests, i) => {
    sum += requests;
    const percent = `${(sum / successes * 100).toFixed(2)} %`.padStart(8);
    const [end, shown] = [ends, counts].map((texts, column) => texts[i]!.padStart(widths[column]!));
    return `≤ ${end} ${shown} ${percent} ${bar(requests / most)}`.trimEnd();
  });
}
