// A service that has a model for itself, or asks a worker: see ../lane_memory.ts.
import { InferenceSession, type Model } from "../../mod.ts";
import { ModelClient } from "../../src/client/model_client.ts";
import { startOrt } from "../../src/ort/environment.ts";
import { answer } from "../support/child.ts";
import { type Memory, settledMemory } from "../support/memory.ts";
import type { Fed } from "../weights/models.ts";
import { noise } from "../weights/noise.ts";

let model: Model | undefined;

await answer({
  async startOrt(): Promise<void> {
    await startOrt();
  },
  memory: (): Promise<Memory> => settledMemory(),
  async load(path: string): Promise<void> {
    model = await InferenceSession.create(path, { shareWeights: "off" });
  },
  async connect(socket: string, name: string): Promise<void> {
    model = await (await ModelClient.connect(socket)).model(name);
  },
  async run({ shape }: Pick<Fed, "shape">, times: number): Promise<void> {
    for (let i = 0; i < times; i++) (await model!.run({ [model!.inputs[0]!.name]: noise(shape, i) }))[Symbol.dispose]();
  },
});
