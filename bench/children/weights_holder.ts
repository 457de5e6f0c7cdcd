// Holds sessions, runs them, and says what that takes: see ../weights.ts.
import { configure, InferenceSession, type Tensor } from "../../mod.ts";
import { startOrt } from "../../src/ort/environment.ts";
import { answer } from "../support/child.ts";
import { settledMemory } from "../support/memory.ts";
import { type Held, held } from "../weights/held.ts";
import type { Fed, Way } from "../weights/models.ts";
import { comparePairs, type Pairs } from "../weights/pairs.ts";
import { noise } from "../weights/noise.ts";
import type { Asked } from "./weights_worker.ts";

interface Holding {
  readonly session: InferenceSession;
  readonly feeds: Record<string, Tensor>;
}

const holding: Holding[] = [], workers: Worker[] = [];
let folder = "", cacheDir = "";

async function open({ path, shape }: Fed, way: Way): Promise<{ holding: Holding; ms: number }> {
  const started = performance.now(), session = await InferenceSession.create(path, way);
  const ms = performance.now() - started, { mode, reason } = session.sharing, wanted = way.shareWeights;
  if (mode !== wanted) throw new Error(`${path} is to be loaded ${wanted}, and is ${mode}: ${reason}`);
  return { holding: { session, feeds: { [session.inputs[0]!.name]: noise(shape, 1) } }, ms };
}

async function run(times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    for (const { session, feeds } of holding) (await session.run(feeds))[Symbol.dispose]();
  }
}

function message(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = reject;
  });
}

function tell(worker: Worker, asked: Asked): Promise<unknown> {
  const done = message(worker);
  worker.postMessage(asked);
  return done;
}

await answer({
  async start(where: string, cache: string): Promise<void> {
    folder = where;
    configure({ cacheDir: cacheDir = cache });
    await startOrt();
  },
  /** How long each took to load, and to run for the first time, in ms. */
  async load(models: readonly Fed[], way: Way): Promise<{ loadMs: number; runMs: number }[]> {
    const found: { loadMs: number; runMs: number }[] = [];
    for (const fed of models) {
      const { holding: made, ms: loadMs } = await open(fed, way), started = performance.now();
      (await made.session.run(made.feeds))[Symbol.dispose]();
      found.push({ loadMs, runMs: performance.now() - started });
      holding.push(made);
    }
    return found;
  },
  /** What the process holds just after so many runs of each. */
  async run(times: number): Promise<Held> {
    await run(times);
    return held(folder);
  },
  async held(): Promise<Held> {
    await settledMemory();
    return held(folder);
  },
  /** Starts Workers that have no model yet. */
  async workers(count: number): Promise<void> {
    const script = new URL("./weights_worker.ts", import.meta.url);
    workers.push(...Array.from({ length: count }, () => new Worker(script, { type: "module" })));
    await Promise.all(workers.map(message));
    await Promise.all(workers.map((worker) => tell(worker, { cacheDir })));
  },
  /** Has each of them load a model of its own, and run it. */
  async loadInWorkers(fed: Fed, way: Way): Promise<void> {
    for (const worker of workers) await tell(worker, { cacheDir, fed, way });
  },
  /** Compares two ways to load a model, turn by turn. */
  async pairs(fed: Fed, way: Way, count: number): Promise<Pairs> {
    const { holding: plain } = await open(fed, { shareWeights: "off" }), { holding: other } = await open(fed, way);
    await using _plain = plain.session, _other = other.session;
    return await comparePairs([plain.session, other.session], fed.shape, count);
  },
});
