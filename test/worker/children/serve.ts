// A worker that ends with its input, and tells what it is asked for: see helper.ts.
import process from "node:process";
import { createInterface } from "node:readline";
import { liveHandles } from "../../../src/handle.ts";
import { type ModelConfig, ModelWorker } from "../../../src/worker/mod.ts";

/** What it serves. */
export interface ServeOptions {
  readonly models: Readonly<Record<string, string | ModelConfig>>;
  readonly socket: string;
  readonly executors?: number;
}

const worker = await ModelWorker.serve(JSON.parse(process.argv[2]!)).catch(({ name, code, message }) => {
  console.log(JSON.stringify({ name, code, message }));
  process.exit(1);
});
console.log(JSON.stringify({ serves: worker.endpoints.socket }));
for await (const line of createInterface({ input: process.stdin })) {
  const what: string = JSON.parse(line);
  console.log(JSON.stringify(what === "handles" ? liveHandles() : worker.status()));
}
await worker[Symbol.asyncDispose]();
console.log(JSON.stringify("END"));
process.exit(0);
