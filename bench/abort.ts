/**
 * How soon does an abort reject, and how long does C go on? Each is measured once per run that is stopped, which mitata
 * has no way to do.
 */
import { setTimeout as wait } from "node:timers/promises";
import { type Feeds, InferenceSession } from "../mod.ts";
import { bigMatMul, manyNodes, slow } from "../test/support/models.ts";
import { floats, slowFeeds } from "../test/support/sessions.ts";
import { percentile } from "./support/contest.ts";
import { atMost, header, type Row, table } from "./support/report.ts";

/** So many that the run would not end by itself. */
const FOREVER = 10_000_000;
const REJECT_MS = 10, NODE_MS = 100;

interface Stop {
  /** From the abort to the rejection, in ms. */
  readonly rejected: number;
  /** From the abort until C has given back what it used, in ms. */
  readonly stopped: number;
}

async function aborted(promise: Promise<unknown>, stop: AbortController): Promise<number> {
  const started = performance.now();
  stop.abort();
  await promise.then(() => Promise.reject(new Error("it was over before it was aborted")), () => {});
  return performance.now() - started;
}

async function stopRun(model: Uint8Array, feeds: Feeds, afterMs: number): Promise<Stop> {
  const session = await InferenceSession.create(model), stop = new AbortController();
  const running = session.run(feeds, { signal: stop.signal });
  await wait(afterMs);
  const started = performance.now(), rejected = await aborted(running, stop);
  await session[Symbol.asyncDispose]();
  return { rejected, stopped: performance.now() - started };
}

async function stopLoad(model: Uint8Array): Promise<Stop> {
  const stop = new AbortController(), creating = Promise.withResolvers<void>();
  const loading = InferenceSession.create(model, {
    signal: stop.signal,
    onProgress: ({ phase }) => phase === "create" && creating.resolve(),
  });
  await creating.promise;
  await wait(20);
  return { rejected: await aborted(loading, stop), stopped: NaN };
}

async function repeat(times: number, measure: () => Promise<Stop>): Promise<Stop[]> {
  const stops: Stop[] = [];
  while (stops.length < times) stops.push(await measure());
  return stops;
}

/** How long one run takes that is not stopped, in ms. */
async function whole(model: Uint8Array, feeds: Feeds): Promise<number> {
  await using session = await InferenceSession.create(model);
  const started = performance.now();
  await session.run(feeds);
  return performance.now() - started;
}

function rows(what: string, stops: readonly Stop[], longestNode?: number): Row[] {
  const rejected = stops.map((stop) => stop.rejected), stopped = stops.map((stop) => stop.stopped);
  const measured = (values: number[]): Row => ({ "p50 ms": percentile(values, 0.5), "worst ms": Math.max(...values) });
  const rejecting: Row = { what: `${what}: rejected`, ...measured(rejected) };
  const first = { ...rejecting, "longest node ms": undefined, ...atMost(Math.max(...rejected), REJECT_MS, " ms") };
  if (longestNode === undefined) return [first];
  return [first, {
    what: `${what}: C has stopped`,
    ...measured(stopped),
    "longest node ms": longestNode,
    ...atMost(Math.max(...stopped) - longestNode, NODE_MS, " ms beyond the node"),
  }];
}

if (import.meta.main) {
  await header("How soon does an abort reject, and how long does C go on?");
  const small = slow(), large = bigMatMul(5000), nodes = manyNodes(20_000), one: Feeds = { x: floats([1], []) };
  const node = await whole(small, slowFeeds(200)) / 200, largeNode = await whole(large, one);
  table("aborts", [
    ...rows("run of many small nodes", await repeat(30, () => stopRun(small, slowFeeds(FOREVER), 50)), node),
    ...rows("run of one large node", await repeat(8, () => stopRun(large, one, 100)), largeNode),
    ...rows("load of 20,000 nodes", await repeat(20, () => stopLoad(nodes))),
  ]);
}
