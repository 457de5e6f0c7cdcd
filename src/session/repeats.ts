import type { NumericDType } from "../tensor/dtype.ts";
import { isTensor, shapeOf, storageOf } from "../tensor/internal.ts";
import { equalShapes } from "../tensor/shape.ts";
import { LEND_FROM } from "./feed.ts";
import type { Frame } from "./frame.ts";
import { Repeat, type RepeatedInput, type RepeatedOutput } from "./repeat.ts";
import type { Feeds, RunSyncOptions } from "./run_options.ts";
import { valueOf } from "./tensor_value.ts";

/** Runs of one layout before it is made a {@linkcode Repeat}: more each time, where other tensors came soon after. */
const FIRST_PATIENCE = 8, MOST_PATIENCE = 256, SOON = 64;

/** Sees when a frame does the same run again and again. */
export class Repeats {
  /** The run before, to be done again. It keeps that run's tensors, which are small. */
  current: Repeat | undefined;
  #unchanged = 0;
  #patience = FIRST_PATIENCE;

  /** Notes that a run is laid out otherwise than the one before. */
  changed(): void {
    this.#unchanged = 0;
  }

  /** Takes note of a run that the frame has just done whole. */
  note(frame: Frame, feeds: Feeds, options: RunSyncOptions | undefined): void {
    if (options?.outputStorage === "shared") return; // its memory is another each time
    if (this.#unchanged++ < this.#patience || !frame.core.onCpu) return; // elsewhere a binding copies what is bound
    this.#unchanged = 0;
    this.#patience = Math.min(2 * this.#patience, MOST_PATIENCE);
    this.current = repeatOf(frame, feeds, options);
  }

  /** Forgets the run before: another one is asked for. */
  forget(): void {
    if (this.current === undefined) return;
    if (this.current.runs > SOON) this.#patience = FIRST_PATIENCE;
    this.current.dispose();
    this.current = undefined;
  }
}

/** What repeats the run that a frame has just done; `undefined` where that is not of small tensors in places that stay. */
function repeatOf(frame: Frame, feeds: Feeds, options: RunSyncOptions | undefined): Repeat | undefined {
  if (!frame.core.outputs.every((port) => port.fetchable)) return undefined;
  const inputs = repeatedInputs(frame, feeds), outputs = repeatedOutputs(frame);
  return inputs && outputs && new Repeat(frame.core, inputs, outputs, options);
}

function repeatedInputs(frame: Frame, feeds: Feeds): RepeatedInput[] | undefined {
  const { inputs: ports } = frame.core, inputs: RepeatedInput[] = [];
  for (const name in feeds) {
    const index = ports.findIndex((port) => port.name === name), tensor = feeds[name];
    const value = frame.inputValues[index], stage = frame.inputStages[index];
    if (!isTensor(tensor) || !equalShapes(shapeOf(tensor), frame.checkedShapes[index])) return undefined; // a getter gave another one
    const storage = storageOf(tensor), { attachment } = storage, heap = storage.kind === "heap";
    if (storage.disposed || storage.byteLength > LEND_FROM || tensor.dtype !== ports[index]!.dtype) return undefined;
    if (value === undefined || value !== (heap ? stage?.value : valueOf(tensor, storage))) return undefined;
    inputs.push({ name, value, tensor, storage, attachment, data: heap ? stage!.data : undefined });
  }
  return inputs.length === ports.length ? inputs : undefined;
}

function repeatedOutputs(frame: Frame): RepeatedOutput[] | undefined {
  const outputs: RepeatedOutput[] = [];
  for (let position = 0; position < frame.outputCount; position++) {
    const index = frame.selected[position]!, { name, dtype } = frame.core.outputs[index]!;
    const tensor = frame.targets[position], value = frame.outputValues[position];
    const storage = tensor && storageOf(tensor), attachment = storage?.attachment;
    if (value === undefined || (storage && storage.byteLength > LEND_FROM)) return undefined;
    const data = storage === undefined || storage.kind === "heap" ? frame.outputStages[index]!.data : undefined;
    const shape = tensor?.shape ?? frame.stagedPlaces[index]!.shape;
    outputs.push({ name, value, tensor, storage, attachment, data, dtype: dtype as NumericDType, shape });
  }
  return outputs;
}
