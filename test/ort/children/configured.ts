// Configures the process and prints what came of it: see configuration_test.ts.
import { once } from "node:events";
import process from "node:process";
import { Worker } from "node:worker_threads";
import { configuration, configure } from "../../../src/ort/configuration.ts";
import { startOrt } from "../../../src/ort/environment.ts";

/** What it threw, as a word. */
function tried(options: unknown): string {
  try {
    configure(options as Parameters<typeof configure>[0]);
    return "ok";
  } catch (error) {
    return `${(error as Error).name} ${(error as { code?: string }).code}`;
  }
}

const [when, ...options] = process.argv.slice(2);
const results: string[] = [];
if (when === "used") await startOrt();
for (const option of options) results.push(tried(JSON.parse(option)));
if (when === "undefined") results.push(tried({ threads: undefined, library: undefined }));
if (when === "worker") {
  const worker = new Worker(new URL("./configuring_worker.ts", import.meta.url));
  results.push(...(await once(worker, "message"))[0] as string[]);
  await worker.terminate();
}
const { threads, maxConcurrentRuns, allowSpinning } = configuration();
console.log(JSON.stringify({ results, threads, maxConcurrentRuns, allowSpinning }));
