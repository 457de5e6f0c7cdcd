/** How fast do sessions with shared weights compute? */
import type { RuntimeName } from "../support/child.ts";
import { percentile } from "../support/contest.ts";
import { type Row, table } from "../support/report.ts";
import { type Fed, type Models, startHolder, WAYS } from "./models.ts";
import type { Pairs } from "./pairs.ts";

const PAIRS = 30;
/** Student's t for 29 degrees of freedom: 95 % lie within. */
const T = 2.045;
const BAR = 0.93;

/** The mean of ratios, and where it lies with a confidence of 95 %: by their logarithms. */
function interval(ratios: readonly number[]): { mean: number; from: number; to: number } {
  const logs = ratios.map(Math.log), count = logs.length, mean = logs.reduce((sum, log) => sum + log, 0) / count;
  const variance = logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / (count - 1);
  const margin = T * Math.sqrt(variance / count);
  return { mean: Math.exp(mean), from: Math.exp(mean - margin), to: Math.exp(mean + margin) };
}

function row(model: string, mode: "prepacked" | "mapped", found: Pairs): Row {
  const { ratios, plain, other, runsInPair, feeds, equal, difference } = found, { mean, from, to } = interval(ratios);
  return {
    model,
    mode,
    pairs: ratios.length,
    "runs in a pair": runsInPair,
    "plain: p50 ms": percentile(plain, 0.5),
    "p99 ms": percentile(plain, 0.99),
    "shared: p50 ms": percentile(other, 0.5),
    " p99 ms": percentile(other, 0.99),
    "throughput, x plain": mean.toFixed(3),
    "95 %": `${from.toFixed(3)} to ${to.toFixed(3)}`,
    "bit-equal": `${equal} of ${feeds}`,
    "largest difference": difference === 0 ? "0" : difference.toExponential(0),
    ...mode === "prepacked" &&
      { bar: `from >= ${BAR}, bit-equal`, met: from >= BAR && equal === feeds ? "yes" : "NO" },
  };
}

/** Measures and tells. */
export async function measureThroughput(models: Models, runtime: RuntimeName): Promise<void> {
  const { large, detection, recognition } = models,
    batch = (size: number): Fed => ({
      ...large,
      shape: [size, large.shape[1]!],
    });
  const cases: [string, Fed, "prepacked" | "mapped"][] = [
    ["large, batch 1", batch(1), "prepacked"],
    ["large, batch 16", batch(16), "prepacked"],
    ["PP-OCRv4 detection", detection, "prepacked"],
    ["PP-OCRv4 recognition", recognition, "prepacked"],
    ["large, batch 1", batch(1), "mapped"],
    ["large, batch 16", batch(16), "mapped"],
  ];
  const rows: Row[] = [];
  for (const [name, fed, mode] of cases) {
    using child = await startHolder(models, runtime);
    rows.push(row(name, mode, await child.ask<Pairs>("pairs", fed, WAYS[mode], PAIRS)));
  }
  table(`${runtime}: runs of shared sessions beside plain ones, both in one process, in turn`, rows);
}
