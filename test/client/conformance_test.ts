import { InferenceSession } from "../../mod.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { type ModelKind, modelsOf } from "../conformance/model.ts";
import { WorkerProcess } from "./worker_process.ts";

const session: ModelKind = {
  name: "of this process",
  sharesMemory: true,
  open: (models) =>
    Promise.resolve({
      model: (name) => InferenceSession.create(models[name]!),
      [Symbol.asyncDispose]: () => Promise.resolve(SharedMemoryAllocator.default[Symbol.dispose]()),
    }),
};

const remote = (name: string, sharedMemory: boolean): ModelKind => ({
  name,
  sharesMemory: sharedMemory,
  async open(models) {
    const worker = await WorkerProcess.start(models, { executors: 2 }), client = await worker.connect({ sharedMemory });
    return {
      model: (name) => client.model(name),
      async [Symbol.asyncDispose]() {
        await client[Symbol.asyncDispose]();
        await worker[Symbol.asyncDispose]();
        SharedMemoryAllocator.default[Symbol.dispose]();
      },
    };
  },
});

for (const kind of [session, remote("of a worker", true), remote("of a worker, as bytes", false)]) modelsOf(kind);
