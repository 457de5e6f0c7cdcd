/**
 * What do batches bring? Four client processes with eight requests in flight each, a worker that takes one request at a
 * time and one that takes up to 32, in turn. Options: `--seconds=20` for each of them.
 */
import type { Child } from "./support/child.ts";
import { type Case, makeTensors, sileroCase } from "./support/cases.ts";
import { calling, contest, type Result } from "./support/contest.ts";
import { ScratchFolder } from "./support/ending.ts";
import { atLeast, header, type Row, table } from "./support/report.ts";
import { startClients, WorkerProcess } from "./lane/lane.ts";
import { type Load, together } from "./lane/load.ts";
import { numberOption } from "./lane/options.ts";
import { row } from "./lane/results.ts";

const CLIENTS = 4, IN_FLIGHT = 8, LARGEST = 32, SECONDS = 20, ROUNDS = 10, BAR = 1.8, IDLE = 1.05;

type Rounds = readonly (readonly Load[])[];

async function measureRates(
  model: Case,
  clients: readonly Child[],
  workers: readonly WorkerProcess[],
  seconds: number,
): Promise<Rounds[]> {
  const found = workers.map((): Load[][] => []), options = { inFlight: IN_FLIGHT, seconds: seconds / ROUNDS };
  for (let round = -1; round < ROUNDS; round++) { // the first warms up
    for (const [i, { socket }] of workers.entries()) {
      const loads = await Promise.all(clients.map((one) => one.ask<Load>("ask", socket, model, options)));
      if (round >= 0) found[i]!.push(loads);
    }
  }
  return found;
}

function rates(single: Rounds, batched: Rounds): Row[] {
  const rows = { "one at a time": single, [`up to ${LARGEST} at once`]: batched }, before = together(single).rate;
  return Object.entries(rows).map(([what, rounds]) => {
    const { done, wrong, failed, codes, rate, p50Us, p99Us } = together(rounds), times = rate / before;
    const bar = atLeast(times, BAR, " x, all bit-identical"), isRight = wrong + failed === 0;
    return {
      what,
      answers: done,
      "not bit-identical": wrong,
      failed,
      codes,
      "answers/s": rate,
      "p50 us": p50Us,
      "p99 us": p99Us,
      "x unbatched": times,
      ...rounds === batched && { ...bar, met: isRight ? bar.met : "NO" },
    };
  });
}

async function measureIdle(model: Case, workers: readonly WorkerProcess[]): Promise<Row[]> {
  await using closing = new AsyncDisposableStack();
  const feeds = makeTensors(model.inputs, "heap"), remotes = [];
  for (const worker of workers) {
    const client = closing.use(await worker.connect());
    remotes.push(closing.use(await client.model(model.name)));
  }
  const rows: Row[] = [];
  for (const call of ["run", "runSync"] as const) {
    const [single, batched] = await contest(
      remotes.map((remote, i) => calling(`${call}, ${i === 0 ? "unbatched" : "batched"}`, () => remote[call](feeds))),
    ) as [Result, Result];
    rows.push(row(single), row(batched, { result: single, column: "x unbatched", atMost: IDLE }));
  }
  return rows;
}

if (import.meta.main) {
  const seconds = numberOption("seconds", SECONDS), model = sileroCase();
  await header("What do batches bring?");
  using folder = new ScratchFolder();
  using closing = new DisposableStack();
  const workers: WorkerProcess[] = [];
  for (const maxBatchSize of [1, LARGEST]) {
    const worker = closing.use(new WorkerProcess(folder, `worker-${maxBatchSize}`));
    workers.push(await worker.serve([model], { maxBatchSize }));
  }
  const clients = await startClients(CLIENTS, { workers, cases: [model], closing });
  const [single, batched] = await measureRates(model, clients, workers, seconds);
  table(`silero_vad_v5: ${CLIENTS} client processes, ${IN_FLIGHT} requests in flight each`, rates(single!, batched!));
  table("silero_vad_v5: one request in flight", await measureIdle(model, workers));
}
