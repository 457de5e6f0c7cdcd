// Terminates Workers in the middle of runs and loads, and prints END when all they held is reaped: see worker_test.ts.
import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { OWNER_STRIDE, owners, STATE, U32 } from "../../../ffi/process/owner.ts";
import { reap } from "../../../ffi/process/reaper.ts";
import { liveHandles } from "../../../src/handle.ts";
import { slow } from "../../support/models.ts";
import { open, slowFeeds } from "../../support/sessions.ts";

const [what, rounds] = [process.argv[2]!, Number(process.argv[3])], AT_ONCE = 3;

/** Sockets and pipes: Deno leaks two descriptors of its own event loop with each Worker that it ends while it computes. */
function descriptors(): number {
  const targets = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // the folder's own
    }
  });
  return targets.filter((target) => /^(socket|pipe):/.test(target)).length;
}

/** How many threads but this one have an entry, be it alive or not. */
function othersLeft(): number {
  const all = owners(),
    states = Array.from({ length: all[U32.everUsed]! }, (_, i) => all[i * OWNER_STRIDE + U32.state]);
  return states.filter((state) => state !== STATE.free).length - 1;
}

const session = await open(slow(64));
let before = 0;
for (let round = 0; round < rounds; round += AT_ONCE) {
  const workers = Array.from({ length: AT_ONCE }, () => {
    const worker = new Worker(new URL("./busy_worker.ts", import.meta.url), { workerData: what });
    worker.on("error", (error: unknown) => (error as Error).message === "thrown on purpose" || console.error(error));
    return worker;
  });
  await Promise.all(workers.map((worker) => once(worker, "message")));
  await Promise.all(workers.map((worker) => worker.terminate()));
  const { y } = await session.run(slowFeeds(5, 64));
  if (y!.data[5] !== 0) throw new Error("the main thread's session is broken");
  for (; othersLeft() > 0; await reap()) await setImmediate(); // a Worker that joins may bury another one, too
  if (round === 0) before = descriptors();
}
await session[Symbol.asyncDispose]();
console.log(`left ${JSON.stringify(liveHandles())}, descriptors grown by ${descriptors() - before}`);
console.log("END");
