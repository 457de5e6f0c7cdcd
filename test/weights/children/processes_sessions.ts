// Holds three sessions of a model, here or in Workers, and prints how its own memory grew: see ../processes_test.ts.
import { readFileSync } from "node:fs";
import process from "node:process";
import { Worker } from "node:worker_threads";
import { configure, InferenceSession, Tensor } from "../../../mod.ts";
import type { SharingMode } from "../../../mod.ts";

const COUNT = 3;
const [cacheDir, model, where, shareWeights] = process.argv.slice(2) as [string, string, string, SharingMode];
configure({ cacheDir });

/** Bytes that no other process can have. */
function own(): number {
  return 1024 * Number(/^Private_Dirty:\s+(\d+)/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"))![1]);
}

async function load(): Promise<InferenceSession> {
  const session = await InferenceSession.create(model, { shareWeights });
  const width = Number(session.inputs[0]!.shape[1]);
  using _out = await session.run({ x: Tensor.from(new Float32Array(width).fill(1), [1, width]) });
  return session;
}

let before: number, modes: string[];
if (where === "sessions") {
  before = own();
  const sessions: InferenceSession[] = [];
  for (let i = 0; i < COUNT; i++) sessions.push(await load());
  modes = sessions.map(({ sharing }) => sharing.mode);
} else {
  const script = new URL("./processes_worker.ts", import.meta.url);
  const workers = Array.from({ length: COUNT }, () => new Worker(script, { workerData: [model, shareWeights] }));
  const said = (): Promise<string[]> =>
    Promise.all(workers.map((worker) => new Promise<string>((resolve) => worker.once("message", resolve))));
  await said(); // all have started
  before = own();
  const loaded = said();
  for (const worker of workers) worker.postMessage("load");
  modes = await loaded;
}
console.log(`${[...new Set(modes)].join(" and ")}, ${own() - before} more`);
console.log("END");
process.exit();
