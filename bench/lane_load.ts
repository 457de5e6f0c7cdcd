/**
 * Ten client processes with ten requests in flight each: what a worker makes of them, against the same process with ten
 * callers of its own, beside the ten processes that then do nothing. Options: `--seconds=60`, `--only=silero,Add`.
 */
import type { Child } from "./support/child.ts";
import { addCase, type Case, sileroCase } from "./support/cases.ts";
import { ScratchFolder } from "./support/ending.ts";
import { megabytes, type Memory } from "./support/memory.ts";
import { atLeast, atMost, header, type Row, table } from "./support/report.ts";
import { startClients, WorkerProcess } from "./lane/lane.ts";
import { type Load, together } from "./lane/load.ts";
import { chosen, numberOption } from "./lane/options.ts";

const CLIENTS = 10, IN_FLIGHT = 10, SECONDS = 60, WARM_SECONDS = 2, BAR = 0.85, FLAT = 1.05;

type AskAll = (seconds: number) => Promise<Load[]>;

function row(what: string, rounds: readonly (readonly Load[])[]) {
  const { done, wrong, failed, codes, rate, p50Us, p99Us } = together(rounds);
  const numbers = { "answers/s": rate, "p50 us": p50Us, "p99 us": p99Us };
  return { row: { what, answers: done, wrong, failed, codes, ...numbers } satisfies Row, rate, faults: wrong + failed };
}

/** Half of the callers of its own, then the clients, then the other half: what else the machine does meets both. */
async function measure(model: Case, worker: WorkerProcess, clients: readonly Child[], seconds: number): Promise<void> {
  const ours: AskAll = (seconds) =>
    Promise.all(clients.map((client) => client.ask<Load>("ask", worker.socket, model, options(seconds))));
  const here: AskAll = (seconds) => worker.child.ask("askHere", model, CLIENTS, options(seconds));
  const held = async (): Promise<number> => (await worker.child.ask<Memory>("settledMemory")).pss;
  await here(WARM_SECONDS);
  const before = await here(seconds / 2);
  await ours(WARM_SECONDS);
  const start = await held(), first = await ours(seconds / 2), middle = await held();
  const second = await ours(seconds / 2), end = await held(), after = await here(seconds / 2);
  const inProcess = row(`${CLIENTS} callers in the worker's process`, [before, after]);
  const byLane = row(`${CLIENTS} client processes`, [first, second]), times = byLane.rate / inProcess.rate;
  const bar = atLeast(times, BAR, " x, no error");
  table(`${model.name}: ${CLIENTS * IN_FLIGHT} requests in flight for ${seconds} s`, [
    inProcess.row,
    { ...byLane.row, "x in process": times, ...bar, met: byLane.faults === 0 ? bar.met : "NO" },
  ]);
  table(`${model.name}: the worker's process, PSS`, [
    {
      "start MB": megabytes(start),
      "middle MB": megabytes(middle),
      "end MB": megabytes(end),
      "end over start": end / start,
      ...atMost(end / start, FLAT, " x start"),
    },
  ]);
}

function options(seconds: number) {
  return { inFlight: IN_FLIGHT, seconds };
}

if (import.meta.main) {
  const seconds = numberOption("seconds", SECONDS), models = chosen("only", ["silero", "Add"]);
  await header("What does a worker make of many clients, against callers in its own process?");
  using folder = new ScratchFolder();
  using closing = new DisposableStack();
  const cases = { silero: sileroCase(), Add: addCase(folder.path) };
  const worker = closing.use(new WorkerProcess(folder, "worker"));
  await worker.serve(Object.values(cases));
  const clients = await startClients(CLIENTS, { workers: [worker], cases: Object.values(cases), closing });
  for (const name of models) await measure(cases[name], worker, clients, seconds);
}
