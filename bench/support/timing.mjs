/** Timing by mitata, for this process and for the peer's, which is plain Node. */
import { measure } from "mitata";

/**
 * How many calls to time together, given what one takes in ns: enough that reading the clock does not show, few enough
 * for a 99th percentile that shows a pause.
 *
 * @param {number} ns
 * @returns {number}
 */
export function groupOf(ns) {
  return ns < 20_000 ? 64 : ns < 1_000_000 ? 8 : 1;
}

/**
 * What one call took, in ns, by groups of calls.
 *
 * @param {() => unknown} call synchronous or not
 * @param {number} budgetMs how long to go on
 * @returns {Promise<number[]>}
 */
export async function timeGroups(call, budgetMs) {
  const started = performance.now();
  for (let i = 0; i < 8; i++) await call();
  const group = groupOf((performance.now() - started) * 1e6 / 8);
  const batch = group > 1 ? { batch_samples: group, batch_threshold: Infinity, warmup_threshold: Infinity } : {};
  const options = { gc: false, min_cpu_time: budgetMs * 1e6, min_samples: 8, ...batch };
  return (await measure(call, options)).samples;
}
