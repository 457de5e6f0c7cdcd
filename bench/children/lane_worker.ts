// A worker in a process of its own: see ../lane/lane.ts.
import process from "node:process";
import { InferenceSession } from "../../mod.ts";
import { startOrt } from "../../src/ort/environment.ts";
import { ModelWorker } from "../../src/worker/model_worker.ts";
import type { WorkerOptions } from "../../src/worker/worker_options.ts";
import { pinTo } from "../lane/cores.ts";
import { keepAsking, type Load, type LoadOptions, makeQuestions } from "../lane/load.ts";
import { answer } from "../support/child.ts";
import { type Case, THREADS } from "../support/cases.ts";
import { type Memory, memory, settledMemory } from "../support/memory.ts";

let worker: ModelWorker | undefined;

await answer({
  pin: pinTo,
  pid: () => process.pid,
  async startOrt(): Promise<void> {
    await startOrt();
  },
  /** Serves, in place of what it served before. */
  async serve(options: WorkerOptions): Promise<void> {
    await worker?.[Symbol.asyncDispose]();
    worker = await ModelWorker.serve(options);
  },
  status: () => worker!.status(),
  memory: (): Memory => memory(),
  settledMemory,
  /** Does for so many callers in this process what the worker does for clients. */
  async askHere(model: Case, callers: number, options: LoadOptions): Promise<Load[]> {
    await using session = await InferenceSession.create(model.path, { intraOpNumThreads: THREADS });
    const names = model.outputs.map(({ name }) => name);
    return await Promise.all(
      Array.from(
        { length: callers },
        (_, i) => keepAsking(session, makeQuestions(session, model, i + 1), names, options),
      ),
    );
  },
});
