/** How long do models with shared weights take to load, when all files are in the page cache? */
import type { RuntimeName } from "../support/child.ts";
import { percentile } from "../support/contest.ts";
import { atLeast, type Row, table } from "../support/report.ts";
import { type Fed, type Models, startHolder, type Way, WAYS } from "./models.ts";
import { NodePeer } from "./peer.ts";

const ROUNDS = 10;

interface Took {
  readonly loadMs: number;
  readonly runMs: number;
}

interface Contestant {
  readonly name: string;
  /** How many times as fast as plain it has to be. */
  readonly bar?: number;
  measure(): Promise<Took>;
}

function ours(models: Models, runtime: RuntimeName, name: string, fed: Fed, way: Way, bar?: number): Contestant {
  return {
    name,
    ...bar !== undefined && { bar },
    async measure() {
      using child = await startHolder(models, runtime);
      return (await child.ask<Took[]>("load", [fed], way))[0]!;
    },
  };
}

function peers({ large }: Models): Contestant[] {
  if (!NodePeer.isThere()) return [];
  const measure = async (): Promise<Took> => {
    using peer = new NodePeer();
    return await peer.ask<Took>("load", large);
  };
  return [{ name: "onnxruntime-node, plain", measure }];
}

function row({ name, bar }: Contestant, took: readonly Took[], plain: readonly Took[]): Row {
  const loads = took.map(({ loadMs }) => loadMs), runs = took.map(({ runMs }) => runMs);
  const faster = percentile(plain.map(({ loadMs }, round) => loadMs / loads[round]!), 0.5);
  return {
    what: name,
    loads: loads.length,
    "p50 ms": percentile(loads, 0.5),
    "p99 ms": percentile(loads, 0.99),
    "first run, p50 ms": percentile(runs, 0.5),
    "x as fast as plain": faster,
    ...bar !== undefined && atLeast(faster, bar, " x"),
  };
}

async function compare(title: string, contestants: readonly Contestant[]): Promise<void> {
  const found = contestants.map((): Took[] => []);
  for (let round = -1; round < ROUNDS; round++) { // the first one brings the files into the page cache
    for (const [i, contestant] of contestants.entries()) {
      const took = await contestant.measure();
      if (round >= 0) found[i]!.push(took);
    }
  }
  table(title, contestants.map((contestant, i) => row(contestant, found[i]!, found[0]!)));
}

/** Measures and tells. */
export async function measureLoads(models: Models, runtime: RuntimeName): Promise<void> {
  const { large, external, recognition } = models, { plain, prepacked, mapped } = WAYS;
  await compare(`${runtime}: warm loads of the large model, each in a process of its own, in turn`, [
    ours(models, runtime, "plain", large, plain),
    ours(models, runtime, "prepacked", large, prepacked, 3),
    ours(models, runtime, "mapped", large, mapped, 50),
    ours(models, runtime, "external data, plain", external, plain),
    ours(models, runtime, "external data, prepacked", external, prepacked),
    ...peers(models),
  ]);
  await compare(`${runtime}: warm loads of PP-OCRv4 recognition`, [
    ours(models, runtime, "plain", recognition, plain),
    ours(models, runtime, "prepacked", recognition, prepacked),
  ]);
}
