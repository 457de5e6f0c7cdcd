// Loads, runs and unloads a model, time and again: see ../rounds.ts.
import { type InferenceSession, models, Tensor } from "../../mod.ts";
import { answer } from "../support/child.ts";
import { recognitionPath } from "../support/cases.ts";
import { memory, settledMemory } from "../support/memory.ts";

/** A line of 320 pixels. */
const SHAPE = [1, 3, 48, 320];

const path = recognitionPath(), image = Tensor.zeros("float32", SHAPE), kept: InferenceSession[] = [];

async function round(keeps: boolean): Promise<void> {
  const session = await models.load(path);
  (await session.run({ [session.inputs[0]!.name]: image }))[Symbol.dispose]();
  if (keeps) kept.push(session);
  else session[Symbol.dispose]();
  await models.unload(path);
}

await answer({
  /** PSS after each round, settled after the `warm`th and the last; one in `keep` leaks its session. */
  async rounds(count: number, warm: number, keep: number): Promise<number[]> {
    const found: number[] = [];
    while (found.length < count) {
      await round(found.length % keep === keep - 1);
      const settles = found.length === warm - 1 || found.length === count - 1;
      found.push((settles ? await settledMemory() : memory()).pssWithoutFiles);
    }
    return found;
  },
});
