import { equalShapes } from "../tensor/shape.ts";

/** What an output is: its shape, and its bytes. */
export interface Extent {
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/** How often in a row an output must have had one shape before that is expected again. */
const ENOUGH = 2;
/** Instead of a count: the output had several shapes while the inputs had the same. */
const VARIES = -1;

/**
 * What the outputs will be whose shape the model leaves open: as before, as long as the inputs are. A run that is given
 * memory for them saves 10 us; where it turns out to be of the wrong shape, onnxruntime refuses it.
 */
export class ExpectedExtents {
  readonly #extents: Extent[] = [];
  readonly #times: number[] = [];

  /** What an output will be; `undefined` where that is open. */
  of(index: number): Extent | undefined {
    return this.#times[index]! >= ENOUGH ? this.#extents[index] : undefined;
  }

  /** Notes what an output was. */
  note(index: number, extent: Extent): void {
    const times = this.#times[index] ?? 0, same = equalShapes(this.#extents[index]?.shape, extent.shape);
    if (times === VARIES) return;
    this.#times[index] = times === 0 ? 1 : same ? times + 1 : VARIES;
    if (!same) this.#extents[index] = extent;
  }

  /** Expects nothing any more: the shape of an input changed. */
  forget(): void {
    for (let i = 0; i < this.#times.length; i++) if (this.#times[i]! > 0) this.#times[i] = 0;
  }
}

/** Whether onnxruntime says, in its newer or older words, that an output is of another shape than the memory it was given. */
export function refusesShape(message: string): boolean {
  return /but the computed output shape|OrtValue shape verification failed/.test(message);
}
