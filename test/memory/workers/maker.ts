// A Worker that makes regions and lets them go as fast as it can: see ../regions_test.ts.
import { parentPort, workerData } from "node:worker_threads";
import { SharedMemoryRegion } from "../../../mod.ts";

const names: string[] = [];
for (let i = 0; i < (workerData as number); i++) {
  using region = SharedMemoryRegion.create(100);
  names.push(region.name);
  await Promise.resolve();
}
parentPort!.postMessage(names);
