// A process whose Worker lends a tensor and ends: see dlpack_test.ts.
import { once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { owner, ownerEntry, STATE, U32 } from "../../../ffi/process/owner.ts";
import { ensureThreads } from "../../../ffi/process/pool.ts";
import { reap } from "../../../ffi/process/reaper.ts";
import { sweepSharedMemory } from "../../../src/memory/regions.ts";
import { DLPackTensor, fromDLPack } from "../../../src/tensor/dlpack.ts";

ensureThreads("release", 1);
owner(); // before the Worker has its own
const worker = new Worker(new URL("../workers/lender.ts", import.meta.url));
const [addresses, index] = (await once(worker, "message"))[0] as [readonly bigint[], number];
await worker.terminate();
const entry = ownerEntry(index), isFree = () => Atomics.load(entry.u32, U32.state) === STATE.free;

/** Cleans up until a condition holds, as the Worker's thread may take a moment to end. */
async function cleanUpUntil(condition: () => boolean): Promise<boolean> {
  for (let turn = 0; !condition() && turn < 100_000; turn++) {
    await setImmediate();
    await reap();
  }
  return condition();
}

const ended = await cleanUpUntil(() => Atomics.load(entry.u32, U32.state) === STATE.ended);
for (let round = 0; round < 10; round++) await reap();
const tensors = addresses.map((address) => fromDLPack(new DLPackTensor(address)).as("float32"));
const intact = ended && !isFree() && tensors.every((tensor) => tensor.data.every((value) => value === 3));
for (const tensor of tensors) tensor[Symbol.dispose]();
const gone = await cleanUpUntil(isFree);
sweepSharedMemory(); // its region
console.log(`${intact ? "intact" : "lost"}, and ${gone ? "gone" : "there"} when it came back`);
