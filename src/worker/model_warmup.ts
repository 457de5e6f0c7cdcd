import { rawRun } from "../ort/raw_run.ts";
import { makeTensor } from "../tensor/tensor.ts";
import { heapStorage } from "../tensor/heap_storage.ts";
import { arrayOf, dtypeOfOnnx, type NumericDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ort } from "../ort/environment.ts";
import { coreOf, type InferenceSession } from "../session/inference_session.ts";
import { MadeUpFeeds, whyNotFed } from "../weights/feeds.ts";
import type { ExampleTensor } from "./executor/messages.ts";

/**
 * Runs a model once, on numbers that are made up: what the first run takes longer than the next ones, it takes now. A
 * model that refuses such numbers, or cannot be fed with any, stays cold.
 */
export async function warmUp(
  session: InferenceSession,
  dimensions: Readonly<Record<string, number>>,
): Promise<void> {
  if (whyNotFed(session.inputs) !== undefined) return;
  try {
    const core = coreOf(session);
    using feeds = await MadeUpFeeds.filled(session.inputs, { size: 1, dimensions, integers: 0 });
    const outputs = core.outputs.filter(({ fetchable }) => fetchable).map(({ name }) => name);
    const values = await rawRun({ session: core.pointer, inputs: feeds.values, outputs });
    for (const value of values) if (value !== null) ort().api.ReleaseValue(value);
  } catch {
    // it may work with others all the same
  }
}

/** A real request's tensors. */
export function exampleFeeds(example: readonly ExampleTensor[]): Record<string, Tensor> {
  return Object.fromEntries(example.map(({ name, elementType, shape, bytes }) => {
    const dtype = dtypeOfOnnx(elementType) as NumericDType, data = new (arrayOf(dtype))(bytes.buffer);
    return [name, makeTensor(dtype, Object.freeze([...shape]), heapStorage(data))];
  }));
}
