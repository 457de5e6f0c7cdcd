// A process without threads in its pool buries a Worker that ended with something to release: see reaper_test.ts.
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { reap } from "../../../ffi/process/reaper.ts";

const worker = new Worker(new URL("../../tensor/holder.ts", import.meta.url));
await once(worker, "message");
await worker.terminate();
while (await reap() === 0) await setImmediate();
console.log("END");
