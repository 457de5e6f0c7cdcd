/**
 * Measures several ways to do one thing in turn, round after round: on a machine that others use too, only what ran at
 * the same time can be compared.
 */
import type { Floor } from "./floor.ts";
import { groupOf, timeGroups } from "./timing.mjs";

/** One way to do it. */
export interface Contestant {
  readonly name: string;
  /** What one call took, in ns, by groups of calls. */
  measure(budgetMs: number): Promise<ArrayLike<number>>;
}

/** What a contestant achieved. */
export interface Result {
  readonly name: string;
  /** The median of each round, in ns, and the median of those: a round that is quicker has more groups, and no more weight. */
  readonly rounds: readonly number[];
  readonly p50: number;
  /** ns, over all groups of all rounds. */
  readonly p99: number;
}

/** The value that a fraction of the others lie below. */
export function percentile(values: Iterable<number>, fraction: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))]!;
}

/** A JavaScript function, synchronous or not. */
export function calling(name: string, call: () => unknown): Contestant {
  return { name, measure: (budgetMs) => timeGroups(call, budgetMs) };
}

/** The floor's loop in C. */
export function inC(name: string, floor: Floor, how: number): Contestant {
  return {
    name,
    measure(budgetMs) {
      const estimate = Math.max(1, percentile(floor.measure(how, 5, 1), 0.5)), calls = groupOf(estimate);
      return Promise.resolve(floor.measure(how, Math.max(8, Math.round(budgetMs * 1e6 / estimate / calls)), calls));
    },
  };
}

/** Measures all of them, in turn. The first round warms up. */
export async function contest(contestants: readonly Contestant[], rounds = 15, budgetMs = 30): Promise<Result[]> {
  const samples = contestants.map((): number[][] => []);
  for (let round = -1; round < rounds; round++) {
    for (const [i, contestant] of contestants.entries()) {
      const found = Array.from(await contestant.measure(budgetMs));
      if (round >= 0) samples[i]!.push(found);
    }
  }
  return contestants.map(({ name }, i) => {
    const all = samples[i]!.flat(), medians = samples[i]!.map((round) => percentile(round, 0.5));
    return { name, rounds: medians, p50: percentile(medians, 0.5), p99: percentile(all, 0.99) };
  });
}

/** How many times as long one took as the other: the median of the rounds' ratios. */
export function ratio(one: Result, other: Result): number {
  return percentile(one.rounds.map((ns, round) => ns / other.rounds[round]!), 0.5);
}
