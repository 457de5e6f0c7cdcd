// A Worker that lends tensors of both kinds, and holds one of its own again: see children/lent_by_worker.ts.
import { parentPort } from "node:worker_threads";
import { owner } from "../../../ffi/process/owner.ts";
import { DLPackTensor, fromDLPack, toDLPack } from "../../../src/tensor/dlpack.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";

const allocator = new SharedMemoryAllocator();
const tensors = [
  Tensor.zeros("float32", [1 << 20], { storage: "native" }),
  Tensor.zeros("float32", [8], { storage: "native" }),
  allocator.tensor("float32", [1 << 20]),
];
for (const tensor of tensors) tensor.data.fill(3);
const own = fromDLPack(new DLPackTensor(toDLPack(tensors[0]!).take())); // which ends with this thread
const untaken = toDLPack(tensors[1]!); // which nobody will ever take
parentPort!.postMessage([tensors.map((tensor) => toDLPack(tensor).take()), owner().index]);
parentPort!.on("message", () => void [own.data, untaken]); // until it is terminated
