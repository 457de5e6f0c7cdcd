/** What do processes with the same model hold together? */
import { setTimeout as wait } from "node:timers/promises";
import { Child, type RuntimeName } from "../support/child.ts";
import { megabytes } from "../support/memory.ts";
import { atLeast, atMost, type Bar, type Row, table } from "../support/report.ts";
import { type Held, together } from "./held.ts";
import { type Fed, type Models, startHolder, type Way, WAYS } from "./models.ts";
import { NodePeer } from "./peer.ts";

const COUNTS = [1, 4, 8], FEW = [1, 4], RUNS = 3;
/** Sessions give activations back after one second without runs, and a second look. */
const IDLE_MS = 2500;
/** MiB that a further process may take beyond one without a model. */
const BEYOND_MIB = 30, MIB = 2 ** 20;
/** Percent that so many processes save. */
const SAVED: Readonly<Record<number, number>> = { 4: 74, 8: 86 };
const BARE = "the runtime alone", BASE = "Coload, no model", PEER_BASE = "onnxruntime-node, no model";

type Holder = Pick<Child, "ask"> & Disposable;

/** What each of some processes holds, just after its runs and after a pause. */
interface Step {
  readonly ran: readonly Held[];
  readonly idle: readonly Held[];
}

/** By numbers of processes. */
export type Steps = ReadonlyMap<number, Step>;

/** A way to hold models. */
interface Case {
  readonly start: () => Promise<Holder>;
  readonly load?: (holder: Holder) => Promise<unknown>;
  readonly counts: readonly number[];
}

/** More and more processes, all of them alive. */
async function measure({ start, load, counts }: Case, folder: string): Promise<Steps> {
  using all = new DisposableStack();
  const holders: Holder[] = [], steps = new Map<number, Step>();
  for (const count of counts) {
    while (holders.length < count) {
      const holder = all.use(await start());
      holders.push(holder);
      await load?.(holder); // one after the other: a load takes twice the model
    }
    const ran: Held[] = [];
    if (load) {
      await Promise.all(holders.map((holder) => holder.ask("run", 1))); // so that all have their pages
      for (const holder of holders) ran.push(await holder.ask<Held>("run", RUNS));
      await wait(IDLE_MS);
    }
    await Promise.all(holders.map((holder) => holder.ask("held", folder))); // so that all have settled
    const idle: Held[] = [];
    for (const holder of holders) idle.push(await holder.ask<Held>("held", folder));
    steps.set(count, { ran: load ? ran : idle, idle });
  }
  return steps;
}

function bases(models: Models, runtime: RuntimeName): Record<string, Case> {
  const bare = new URL("../children/weights_bare.ts", import.meta.url);
  return {
    [BARE]: { start: () => Promise.resolve(new Child(bare, runtime)), counts: COUNTS },
    [BASE]: { start: () => startHolder(models, runtime), counts: COUNTS },
  };
}

function holding(models: Models, runtime: RuntimeName, fed: readonly Fed[], way: Way, counts = COUNTS): Case {
  return { start: () => startHolder(models, runtime), load: (holder) => holder.ask("load", fed, way), counts };
}

function peers(fed: Fed): Record<string, Case> {
  if (!NodePeer.isThere()) return {};
  const start = async (): Promise<Holder> => {
    const peer = new NodePeer();
    await peer.ask("start");
    return peer;
  };
  return {
    [PEER_BASE]: { start, counts: FEW },
    "onnxruntime-node, plain": { start, load: (holder) => holder.ask("load", fed), counts: FEW },
  };
}

type Results = ReadonlyMap<string, Steps>;
type State = keyof Step;

const STATES: Readonly<Record<State, string>> = { ran: "after runs", idle: `idle for ${IDLE_MS / 1000} s` };

async function measureAll(cases: Readonly<Record<string, Case>>, folder: string): Promise<Results> {
  const results = new Map<string, Steps>();
  for (const [name, what] of Object.entries(cases)) results.set(name, await measure(what, folder));
  return results;
}

function pss(results: Results, name: string, count: number, state: State): number {
  return together(results.get(name)!.get(count)![state]).pss;
}

/** What each further process of four takes. */
function further(results: Results, name: string, state: State): number {
  return (pss(results, name, 4, state) - pss(results, name, 1, state)) / 3;
}

const isBase = (name: string): boolean => name === BARE || name === BASE || name === PEER_BASE;
const isPeer = (name: string): boolean => name.startsWith("onnxruntime-node");
const baseOf = (name: string): string => isPeer(name) ? PEER_BASE : BASE;
const isPrepared = (name: string): boolean => name === "prepacked" || name === "mapped";

function furtherRow(results: Results, name: string, state: State): Row {
  const each = further(results, name, state);
  const beyond = (base: string): number => (each - further(results, base, state)) / MIB;
  return {
    "each holds": name,
    state: isBase(name) ? "" : STATES[state],
    "PSS of 1 MB": megabytes(pss(results, name, 1, state)),
    "PSS of 4 MB": megabytes(pss(results, name, 4, state)),
    "each further MB": megabytes(each),
    "beyond the runtime alone MiB": isPeer(name) || name === BARE ? undefined : beyond(BARE),
    "beyond no model MiB": isBase(name) ? undefined : beyond(baseOf(name)),
    ...isPrepared(name) && state === "idle" && atMost(beyond(BASE), BEYOND_MIB, " MiB beyond no model"),
  };
}

function savedBar(name: string, count: number, saved: number): Bar | undefined {
  const least = SAVED[count];
  return isPrepared(name) && least !== undefined ? atLeast(saved, least, " %") : undefined;
}

function totalRow(results: Results, name: string, count: number, state: State, hasBar: boolean): Row {
  const found = together(results.get(name)!.get(count)![state]);
  const beyond = (of: string): number => pss(results, of, count, state) - pss(results, baseOf(of), count, state);
  const saved = isBase(name) || name === "plain" ? undefined : 100 * (1 - beyond(name) / beyond("plain"));
  return {
    processes: count,
    "each holds": name,
    state: isBase(name) ? "" : STATES[state],
    "total PSS MB": megabytes(found.pss),
    "weights in files, once MB": megabytes(found.weights),
    "all else, each MB": megabytes((found.pss - found.weights) / count),
    "beyond no model MB": isBase(name) ? undefined : megabytes(beyond(name)),
    "saved over plain %": saved,
    ...hasBar && saved !== undefined && state === "idle" && savedBar(name, count, saved),
  };
}

/** The first two tables of a model: what one more process takes, and what all take. */
function tell(title: string, results: Results, states: readonly State[], hasBar: boolean): void {
  const names = [...results.keys()], statesOf = (name: string): readonly State[] => isBase(name) ? ["idle"] : states;
  table(
    `${title}: each further process, (PSS of 4 - PSS of 1) / 3`,
    names.flatMap((name) => statesOf(name).map((state) => furtherRow(results, name, state))),
  );
  const rows = [4, 8].flatMap((count) =>
    names.filter((name) => results.get(name)!.has(count)).flatMap((name) =>
      statesOf(name).map((state) => totalRow(results, name, count, state, hasBar))
    )
  );
  table(`${title}: all of them together`, rows);
}

/** Measures and tells. What processes with the large model hold, idle, for the picture. */
export async function measureMemory(models: Models, runtime: RuntimeName): Promise<Results> {
  const { folder, large, external, detection, recognition } = models, ocr = [detection, recognition];
  const { plain, prepacked, mapped } = WAYS;
  const hold = (fed: readonly Fed[], way: Way, counts = COUNTS): Case => holding(models, runtime, fed, way, counts);
  const base = await measureAll(bases(models, runtime), folder);
  const ofLarge = await measureAll({
    plain: hold([large], plain),
    prepacked: hold([large], prepacked),
    mapped: hold([large], mapped),
    "external data, plain": hold([external], plain, FEW),
    "external data, prepacked": hold([external], prepacked, FEW),
    ...peers(large),
  }, folder);
  const ofOcr = await measureAll({
    plain: hold(ocr, plain),
    "plain, shrinkArena idle": hold(ocr, { ...plain, shrinkArena: "idle" }),
    prepacked: hold(ocr, prepacked),
  }, folder);
  tell(
    `${runtime}, a model of ${megabytes(models.byteLength)} MB`,
    new Map([...base, ...ofLarge]),
    ["ran", "idle"],
    true,
  );
  tell(`${runtime}, PP-OCRv4 detection and recognition`, new Map([...base, ...ofOcr]), ["ran", "idle"], false);
  return ofLarge;
}

/** Processes of both runtimes with one copy. */
export async function measureMixed(models: Models, runtimes: readonly RuntimeName[]): Promise<void> {
  let next = 0;
  const start = (): Promise<Holder> => startHolder(models, runtimes[next++ % runtimes.length]!);
  const load = (holder: Holder): Promise<unknown> => holder.ask("load", [models.large], WAYS.prepacked);
  const found = (await measure({ start, load, counts: [4] }, models.folder)).get(4)!.idle,
    { pss, weights } = together(found);
  table("4 processes, 2 of each runtime, with the large model prepacked", [{
    "total PSS MB": megabytes(pss),
    "weights in files, once MB": megabytes(weights),
    "all else, each MB": megabytes((pss - weights) / found.length),
  }]);
}
