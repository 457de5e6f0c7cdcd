/**
 * What do four services on one model hold: each with the model for itself, or all by one worker? What the processes hold
 * without the model, the worker's too, is subtracted. Options: `--bytes=2e8` for the model.
 */
import { setTimeout as wait } from "node:timers/promises";
import { writeWeights } from "../test/support/models.ts";
import { addCase } from "./support/cases.ts";
import { Child } from "./support/child.ts";
import { ScratchFolder } from "./support/ending.ts";
import { megabytes, type Memory } from "./support/memory.ts";
import { atLeast, header, type Row, table } from "./support/report.ts";
import { numberOption } from "./lane/options.ts";
import { WorkerProcess } from "./lane/lane.ts";
import type { Fed } from "./weights/models.ts";

const SERVICES = 4, RUNS = 3, BYTES = 2e8, IDLE_MS = 2500, SAVED = 70;

/** PSS of all processes together, in bytes. */
interface Found {
  readonly base: number;
  readonly total: number;
}

/** One after the other, so that all have settled when the first is asked. */
async function pss(processes: readonly Child[]): Promise<number> {
  let sum = 0;
  await Promise.all(processes.map((one) => one.ask("memory")));
  for (const one of processes) sum += (await one.ask<Memory>("memory")).pss;
  return sum;
}

/** How services come by a model. */
interface Way {
  /** What there is beside them. */
  readonly beside: readonly Child[];
  /** Readies all processes but for the model: what they hold then is subtracted. */
  prepare(services: readonly Child[]): Promise<unknown>;
  open(services: readonly Child[]): Promise<unknown>;
}

async function measure(fed: Fed, { beside, prepare, open }: Way): Promise<Found> {
  using closing = new DisposableStack();
  const script = new URL("./children/lane_service.ts", import.meta.url);
  const services = Array.from({ length: SERVICES }, () => closing.use(new Child(script))),
    all = [...services, ...beside];
  await prepare(services);
  const base = await pss(all);
  await open(services);
  await Promise.all(services.map((service) => service.ask("run", fed, RUNS)));
  await wait(IDLE_MS); // sessions give activations back
  return { base, total: await pss(all) };
}

function row(what: string, processes: number, { base, total }: Found): Row {
  const figures = { "total PSS MB": megabytes(total), "without the model MB": megabytes(base) };
  return { what, processes, ...figures, "for the model MB": megabytes(total - base) };
}

if (import.meta.main) {
  const byteLength = numberOption("bytes", BYTES);
  await header("What do four services on one model hold, by one worker or each for itself?");
  using folder = new ScratchFolder();
  const path = folder.join("weights.onnx"), { inputWidth } = writeWeights({ path, byteLength });
  const fed = { path, shape: [1, inputWidth] };
  const own = await measure(fed, {
    beside: [],
    prepare: (services) => Promise.all(services.map((service) => service.ask("startOrt"))),
    async open(services) {
      for (const service of services) await service.ask("load", path); // a load takes twice the model
    },
  });
  using worker = new WorkerProcess(folder, "worker");
  const small = addCase(folder.path);
  const shared = await measure(fed, {
    beside: [worker.child],
    prepare: () => worker.serve([small]), // a worker as it is with a model of two numbers
    async open(services) {
      await worker.serve([{ name: "weights", path }]);
      await Promise.all(services.map((service) => service.ask("connect", worker.socket, "weights")));
    },
  });
  const saved = 100 * (1 - (shared.total - shared.base) / (own.total - own.base));
  table(`${SERVICES} services on a model of ${megabytes(byteLength)} MB, idle for ${IDLE_MS / 1000} s after runs`, [
    row("a session each", SERVICES, own),
    { ...row("one worker", SERVICES + 1, shared), "saved %": saved, ...atLeast(saved, SAVED, " %") },
  ]);
}
