// One of many Workers that count in the same block of the process: see shared_test.ts.
import { parentPort, workerData } from "node:worker_threads";
import { ffi } from "../../../ffi/mod.ts";
import { exclusively, processBlock } from "../../../ffi/process/shared.ts";

const { name, rounds } = workerData as { name: string; rounds: number };
const block = processBlock(name, 64, ({ pointer }) => new Uint32Array(ffi.view(pointer, 64))[1]!++);
const u32 = new Uint32Array(ffi.view(block.pointer, 64));
for (let i = 0; i < rounds; i++) {
  exclusively(() => {
    const found = u32[0]!;
    exclusively(() => u32[0] = found + 1);
  });
}
parentPort!.postMessage(block.address);
