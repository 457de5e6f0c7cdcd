// A Worker that holds native tensors until it is terminated: see worker_test.ts.
import { parentPort } from "node:worker_threads";
import { Tensor } from "../../src/tensor/tensor.ts";

const held = Array.from({ length: 4 }, () => Tensor.zeros("uint8", [1 << 30], { storage: "native" }));
const small = Array.from({ length: 100 }, () => Tensor.zeros("float32", [4], { storage: "native" }));
parentPort!.postMessage(held.length + small.length);
parentPort!.on("message", () => {});
