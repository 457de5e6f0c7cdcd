// A Worker that is in the middle of something when it is terminated: see terminated.ts.
import { setImmediate } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { InferenceSession } from "../../../src/session/inference_session.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { manyNodes, slow } from "../../support/models.ts";
import { nativeZeros, slowFeeds } from "../../support/sessions.ts";

const what: string = workerData;

if (what === "load") {
  void InferenceSession.create(manyNodes(3000));
  void InferenceSession.create(manyNodes(3000), { signal: new AbortController().signal });
  parentPort!.postMessage("busy");
} else {
  const session = await InferenceSession.create(slow(64)), feeds = slowFeeds(500, 64);
  const y = nativeZeros("float32", [64]), bound = nativeZeros("float32", [64]);
  const x = Tensor.zeros("float32", [64], { storage: "native" }), iterations = nativeZeros("int64", []);
  if (what === "run") {
    iterations.data[0] = 500n;
    const binding = session.bind({ x, iterations }, { y: bound });
    for (let i = 0; i < 4; i++) void session.run(feeds, { outputStorage: "native" });
    void session.run({ x, iterations }, { outputs: { y }, signal: new AbortController().signal });
    void binding.run();
    parentPort!.postMessage("busy");
  } else if (what === "sync") {
    parentPort!.postMessage("busy");
    for (;; await setImmediate()) session.runSync(feeds, { outputStorage: "native" }); // Deno cannot end a mere loop
  } else {
    parentPort!.postMessage("busy");
    throw new Error("thrown on purpose");
  }
}
parentPort!.on("message", () => {});
