// Loads and runs a model of one operator, plain and with its weights shared: see ../weights_operators.ts.
import { configure, type Feeds, InferenceSession, type SessionOptions, type Sharing, type Tensor } from "../../mod.ts";
import { startOrt } from "../../src/ort/environment.ts";
import type { OperatorInput } from "../../test/support/models.ts";
import { identical, operatorFeeds, type Sizes } from "../../test/support/operator_feeds.ts";
import { answer } from "../support/child.ts";
import { percentile } from "../support/contest.ts";
import { settledMemory } from "../support/memory.ts";

/** How a session's weights are kept. */
export type Way = "off" | "prepacked";

/** A model, and what goes in. */
export interface Operator {
  readonly path: string;
  readonly inputs: readonly OperatorInput[];
}

/** How two sessions of one process compare; the times are those of single runs, in ms. */
export interface Compared {
  readonly plain: readonly number[];
  readonly shared: readonly number[];
  /** How many times as fast as the plain session the other was, by pairs of runs. */
  readonly ratio: number;
  readonly equal: boolean;
}

const PAIRS_MS = 800, LEAST_PAIRS = 8, MOST_PAIRS = 400, LOADS = 3;

const options = (shareWeights: Way): SessionOptions => ({ shareWeights, intraOpNumThreads: 1, shrinkArena: "run" });
const speedOptions = (shareWeights: Way): SessionOptions => ({ ...options(shareWeights), shrinkArena: "never" });
const held: unknown[] = [];

async function timed<T>(what: () => T | Promise<T>): Promise<{ readonly ms: number; readonly value: T }> {
  const started = performance.now(), value = await what();
  return { ms: performance.now() - started, value };
}

function runMs(session: InferenceSession, feeds: Feeds): number {
  const started = performance.now();
  session.runSync(feeds)[Symbol.dispose]();
  return performance.now() - started;
}

/** Runs both in turn, in the orders A B B A and B A A B. */
function compare(plain: InferenceSession, shared: InferenceSession, feeds: Feeds): Compared {
  const output = plain.outputs[0]!.name;
  using wanted = plain.runSync(feeds);
  using found = shared.runSync(feeds);
  const equal = identical(wanted[output] as Tensor, found[output] as Tensor);
  const times: [number[], number[]] = [[], []], ratios: number[] = [], started = performance.now();
  for (let i = 0; i < MOST_PAIRS && (i < LEAST_PAIRS || performance.now() - started < PAIRS_MS); i++) {
    const took = [0, 0];
    for (const which of i % 2 === 0 ? [0, 1, 1, 0] : [1, 0, 0, 1]) {
      const ms = runMs(which === 0 ? plain : shared, feeds);
      took[which]! += ms;
      times[which]!.push(ms);
    }
    ratios.push(took[0]! / took[1]!);
  }
  return { plain: times[0], shared: times[1], ratio: percentile(ratios, 0.5), equal };
}

await answer({
  async start(cacheDir: string): Promise<void> {
    configure({ cacheDir });
    await startOrt();
  },
  /** Prepares it, or says why not. */
  async prepare({ path }: Operator): Promise<Sharing> {
    await using session = await InferenceSession.create(path, options("prepacked"));
    return session.sharing;
  },
  /** What a process has for itself once it has loaded and run a model, in bytes. */
  async hold({ path, inputs }: Operator, way: Way, sizes: Sizes): Promise<number> {
    const feeds = operatorFeeds(inputs, sizes), before = (await settledMemory()).pssWithoutFiles;
    const session = await InferenceSession.create(path, options(way));
    const { mode, reason } = session.sharing;
    if (mode !== way) throw new Error(`${path} is to be loaded ${way}, and is ${mode}: ${reason}`);
    session.runSync(feeds)[Symbol.dispose]();
    held.push(session);
    return (await settledMemory()).pssWithoutFiles - before;
  },
  /** How many times as fast as a plain one a shared one loads. */
  async loads({ path }: Operator): Promise<number> {
    const ratios: number[] = [];
    for (let i = 0; i < LOADS; i++) {
      const took: number[] = [];
      for (const way of ["off", "prepacked"] as const) {
        const { ms, value: session } = await timed(() => InferenceSession.create(path, options(way)));
        took.push(ms);
        await session[Symbol.asyncDispose]();
      }
      ratios.push(took[0]! / took[1]!);
    }
    return percentile(ratios, 0.5);
  },
  /** How they compare with inputs of these sizes. */
  async runs({ path, inputs }: Operator, sizes: readonly Sizes[]): Promise<Compared[]> {
    await using plain = await InferenceSession.create(path, speedOptions("off"));
    await using shared = await InferenceSession.create(path, speedOptions("prepacked"));
    return sizes.map((each) => compare(plain, shared, operatorFeeds(inputs, each)));
  },
});
