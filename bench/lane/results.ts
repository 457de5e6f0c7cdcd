/** What one way took beside others. */
import { percentile, ratio, type Result } from "../support/contest.ts";
import { atLeast, atMost, type Row } from "../support/report.ts";

/** One after the other. The 99th percentile is at most that of both. */
export function sum(name: string, one: Result, other: Result): Result {
  const rounds = one.rounds.map((ns, round) => ns + other.rounds[round]!);
  return { name, rounds, p50: percentile(rounds, 0.5), p99: one.p99 + other.p99 };
}

/** The one whose median is least. */
export function quickest(results: readonly Result[]): Result {
  return results.reduce((best, result) => result.p50 < best.p50 ? result : best);
}

/** What a way is held against, and how many times as long it may take, or has to take at least. */
export interface Against {
  readonly result: Result;
  /** The column's name. */
  readonly column: string;
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** A line of a table: what a call took, and beside what. */
export function row(result: Result, ...against: readonly Against[]): Row {
  const row: Row = { what: result.name, "p50 us": result.p50 / 1000, "p99 us": result.p99 / 1000 }, bars = [];
  for (const { result: other, column, ...bar } of against) {
    const times = ratio(result, other);
    row[column] = times;
    if (bar.atMost !== undefined) bars.push(atMost(times, bar.atMost, ` ${column}`));
    if (bar.atLeast !== undefined) bars.push(atLeast(times, bar.atLeast, ` ${column}`));
  }
  if (bars.length === 0) return row;
  return { ...row, bar: bars.map(({ bar }) => bar).join(", "), met: bars.map(({ met }) => met).join(", ") };
}
