/** How long does it take until every request of a worker that died has failed? */
import { setTimeout as wait } from "node:timers/promises";
import type { Case } from "../support/cases.ts";
import { ScratchFolder } from "../support/ending.ts";
import type { Row } from "../support/report.ts";
import { BEFORE_MS, CLIENTS, HANGS_MS, IN_FLIGHT, inSharedMemory, kill, leftSince, timesRow } from "./deaths.ts";
import { startClients, WorkerProcess } from "./lane.ts";
import { type Load, type LoadOptions, together } from "./load.ts";

const MOST_SECONDS = 30, BAR_MS = 100;

interface Death {
  /** From the kill to the last failure. */
  readonly asyncMs: number;
  readonly syncMs: number;
  readonly failed: number;
  readonly hung: number;
  readonly codes: string;
}

/** Ten clients with ten requests in flight each, and one whose calls block. */
async function killWorker(model: Case): Promise<Death> {
  using folder = new ScratchFolder();
  using closing = new DisposableStack();
  const worker = await closing.use(new WorkerProcess(folder, "worker")).serve([model]);
  const clients = await startClients(CLIENTS + 1, { workers: [worker], cases: [model], closing });
  const asking = clients.map((client, i) => {
    const sync = i === CLIENTS, inFlight = sync ? 1 : IN_FLIGHT;
    const options: LoadOptions = { inFlight, seconds: MOST_SECONDS, endsWithError: true, sync };
    return client.ask<Load>("ask", worker.socket, model, options);
  });
  await wait(BEFORE_MS);
  const at = await kill(worker.child);
  const loads = await Promise.all(
    asking.map((load) => Promise.race([load, wait(HANGS_MS, undefined, { ref: false })])),
  );
  const found = loads.filter((load) => load !== undefined), { failed, codes } = together([found]);
  const last = (some: readonly (Load | undefined)[]): number =>
    Math.max(...some.map((load) => load === undefined ? HANGS_MS : load.lastErrorAt - at));
  return {
    asyncMs: last(loads.slice(0, CLIENTS)),
    syncMs: last(loads.slice(CLIENTS)),
    failed,
    hung: CLIENTS * IN_FLIGHT + 1 - failed,
    codes,
  };
}

/** Kills workers, and tells what became of requests. */
export async function workerDeaths(model: Case, rounds: number): Promise<Row[]> {
  const before = inSharedMemory(), deaths: Death[] = [];
  while (deaths.length < rounds) deaths.push(await killWorker(model));
  const left = leftSince(before);
  const isRight = left === 0 && deaths.every(({ hung, codes }) => hung === 0 && /^\d+ WORKER_DIED$/.test(codes));
  const row = (what: string, times: readonly number[]): Row =>
    timesRow(what, times, BAR_MS, isRight, "all WORKER_DIED, nothing left");
  const sum = (value: (death: Death) => number): number => deaths.reduce((total, death) => total + value(death), 0);
  return [
    row(`until ${CLIENTS * IN_FLIGHT} requests in flight failed`, deaths.map(({ asyncMs }) => asyncMs)),
    row("until a synchronous call failed", deaths.map(({ syncMs }) => syncMs)),
    { what: "requests that failed", rounds, count: sum(({ failed }) => failed), codes: deaths[0]!.codes },
    { what: "requests that hang", rounds, count: sum(({ hung }) => hung) },
    { what: "files left in /dev/shm", rounds, count: left },
  ];
}
