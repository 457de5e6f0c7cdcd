// A Worker that uses the process's Python: see ../cases/workers.ts.
import { parentPort } from "node:worker_threads";
import { owner } from "../../../ffi/process/owner.ts";
import { Python } from "../../../src/python/mod.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";

const python = Python.open(), held: unknown[] = [];

const ACTIONS: Readonly<Record<string, () => unknown>> = {
  loop() {
    using tensor = Tensor.zeros("float32", [100], { storage: "native" });
    let done = 0;
    for (; done < 300; done++) {
      using array = python.toNumPy(tensor), back = python.fromPython(array).as("float32");
      back.data[0]!++;
    }
    return tensor.data[0] === 300 ? done : -1;
  },
  remember() {
    python.exec("per_thread.value = object()");
    using value = python.eval("hasattr(per_thread, 'value')");
    return value.toJS();
  },
  async run() {
    using value = await python.run("40 + 2");
    return value.toJS();
  },
  hold() {
    const allocator = new SharedMemoryAllocator();
    const tensors = [
      Tensor.zeros("float32", [1 << 18], { storage: "native" }),
      Tensor.zeros("float32", [10], { storage: "native" }),
      allocator.tensor("float32", [1 << 18]),
    ];
    using keep = python.eval("kept.append");
    for (const tensor of tensors) {
      tensor.data.fill(6);
      const array = python.toNumPy(tensor);
      keep.call([array])[Symbol.dispose]();
      held.push(tensor, array, python.fromPython(array)); // none of which is disposed
    }
    held.push(python.eval("thing"));
    return owner().index;
  },
};

parentPort!.on("message", async (action: string) => parentPort!.postMessage(await ACTIONS[action]!()));
parentPort!.postMessage("up");
