// Measures what a Worker's own registry holds, in MB, and what is left of it after the Worker was terminated.
import process from "node:process";
import { models } from "../../../mod.ts";
import { writtenBytes } from "../../support/memory.ts";
import { until } from "../fixtures.ts";
import { RegistryWorker } from "../registry_worker.ts";

const file = process.argv[2]!, megabytes = (bytes: number): number => Math.round(bytes / 1e6);

/** Ends a Worker that holds this many sessions; returns what they took and what they left behind. */
async function measure(count: number): Promise<[number, number]> {
  const worker = new RegistryWorker();
  await worker.ask("own", file, 1);
  const before = writtenBytes();
  await worker.ask("own", file, count);
  const held = writtenBytes() - before;
  worker.terminate();
  await until("its memory is back", async () => {
    await models.evictExpired();
    return writtenBytes() - before < held / 4;
  });
  return [held, writtenBytes() - before];
}

await measure(1); // what the runtime and onnxruntime need anyway
const [held, left] = await measure(6);
console.log(`held ${megabytes(held)} left ${megabytes(left)}`);
console.log("END");
