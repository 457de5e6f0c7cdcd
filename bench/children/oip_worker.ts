// A worker that answers HTTP, in a process of its own: see ../oip/worker.ts.
import { ModelWorker } from "../../src/worker/model_worker.ts";
import type { WorkerOptions } from "../../src/worker/worker_options.ts";
import { pinTo } from "../lane/cores.ts";
import { collectedMemory } from "../oip/collected_memory.ts";
import { answer } from "../support/child.ts";
import { settledMemory } from "../support/memory.ts";

await answer({
  pin: pinTo,
  settledMemory,
  collectedMemory,
  /** Serves from now on, and returns the address that HTTP is answered at. */
  serve: async (options: WorkerOptions): Promise<string> => (await ModelWorker.serve(options)).endpoints.http!,
});
