// Holds another process's tensors, and says what that takes: see ../shared_live.ts.
import { Tensor, type TensorRef } from "../../mod.ts";
import { answer } from "../support/child.ts";
import { openDescriptors } from "../support/shared_memory.ts";

/** What it took to hold them. */
export interface Holding {
  readonly descriptors: number;
  readonly openUs: number;
  readonly disposeUs: number;
}

await answer({
  /** Opens them, and lets them go. What one took: the mean. */
  hold(refs: readonly TensorRef[]): Holding {
    const before = openDescriptors(), started = performance.now();
    const opened = refs.map((ref) => Tensor.open(ref)), openMs = performance.now() - started;
    const descriptors = openDescriptors() - before, disposing = performance.now();
    for (const tensor of opened) tensor[Symbol.dispose]();
    const disposeMs = performance.now() - disposing;
    return { descriptors, openUs: 1000 * openMs / refs.length, disposeUs: 1000 * disposeMs / refs.length };
  },
});
