/** Compares two sessions of one process, pair by pair: both in turn within each, in the order A B B A and B A A B. */
import { setImmediate as turn } from "node:timers/promises";
import type { InferenceSession, Tensor } from "../../mod.ts";
import { noise } from "./noise.ts";

/** A block of runs goes on for so long at least, and for so many runs at most. */
const BLOCK_MS = 100, MOST_RUNS = 64;
const WARM_UP = 3, SEEDS = 8;

/** What was found: `plain` is the first session, `other` the second. */
export interface Pairs {
  /** How many times as fast as the first the second was, by pairs. */
  readonly ratios: readonly number[];
  /** What single runs took, in ms. */
  readonly plain: readonly number[];
  readonly other: readonly number[];
  readonly runsInPair: number;
  /** How many feeds both were given, and for how many of them every bit of the output was the same. */
  readonly feeds: number;
  readonly equal: number;
  /** The largest difference of an output, as a part of its largest number. */
  readonly difference: number;
}

type Sessions = readonly [plain: InferenceSession, other: InferenceSession];

function outputOf(session: InferenceSession, x: Tensor): Float32Array {
  using result = session.runSync({ [session.inputs[0]!.name]: x });
  return (result[session.outputs[0]!.name]!.data as Float32Array).slice();
}

function compare(sessions: Sessions, shape: readonly number[]): Pick<Pairs, "feeds" | "equal" | "difference"> {
  let equal = 0, difference = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const x = noise(shape, seed), [one, other] = sessions.map((session) => outputOf(session, x));
    const [bits, otherBits] = [one!, other!].map(({ buffer }) => new Uint32Array(buffer));
    if (bits!.length === otherBits!.length && bits!.every((word, i) => word === otherBits![i])) equal++;
    const largest = one!.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const apart = one!.reduce((most, value, i) => Math.max(most, Math.abs(value - other![i]!)), 0);
    difference = Math.max(difference, apart / largest);
  }
  return { feeds: SEEDS, equal, difference };
}

/** Runs one of them so many times, notes what each took, and returns the sum, in ms. */
function block(session: InferenceSession, feeds: Record<string, Tensor>, runs: number, into: number[]): number {
  let sum = 0;
  for (let i = 0; i < runs; i++) {
    const started = performance.now();
    session.runSync(feeds)[Symbol.dispose]();
    const ms = performance.now() - started;
    into.push(ms);
    sum += ms;
  }
  return sum;
}

/** Compares their outputs, then their times. */
export async function comparePairs(sessions: Sessions, shape: readonly number[], count: number): Promise<Pairs> {
  const compared = compare(sessions, shape), x = noise(shape, 1), ignored: number[] = [];
  const feeds = sessions.map(({ inputs }) => ({ [inputs[0]!.name]: x }));
  for (const i of [0, 1]) block(sessions[i]!, feeds[i]!, WARM_UP, ignored);
  const typical = block(sessions[0], feeds[0]!, WARM_UP, ignored) / WARM_UP;
  const runs = Math.min(MOST_RUNS, Math.ceil(BLOCK_MS / typical));
  const found: [number[], number[]] = [[], []], ratios: number[] = [];
  for (let pair = 0; pair < count; pair++) {
    const order = pair % 2 === 0 ? [0, 1, 1, 0] : [1, 0, 0, 1], took = [0, 0];
    for (const i of order) took[i]! += block(sessions[i]!, feeds[i]!, runs, found[i]!);
    ratios.push(took[0]! / took[1]!);
    await turn();
  }
  return { ratios, plain: found[0], other: found[1], runsInPair: 2 * runs, ...compared };
}
