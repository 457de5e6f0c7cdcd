// A Worker that loads a model when it is told to, runs it, and says how its weights are shared: see ./processes_sessions.ts.
import { parentPort, workerData } from "node:worker_threads";
import { InferenceSession, Tensor } from "../../../mod.ts";

const [model, shareWeights] = workerData, port = parentPort!;
port.once("message", async () => {
  const session = await InferenceSession.create(model, { shareWeights });
  const width = Number(session.inputs[0]!.shape[1]);
  using _out = await session.run({ x: Tensor.from(new Float32Array(width).fill(1), [1, width]) });
  port.postMessage(session.sharing.mode);
  setInterval(() => session.inputs, 1000); // which keeps it
});
port.postMessage("started");
