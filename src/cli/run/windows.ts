import type { Model } from "../../session/inference_session.ts";
import type { Tensors } from "../../session/tensors.ts";
import { rangeError, typeError } from "../../errors.ts";
import { arrayOf, type DataOf, type NumericArray, type NumericDType } from "../../tensor/dtype.ts";
import { equalShapes, showShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Flags } from "./flags.ts";
import { type Given, type GivenSound, soundData, soundShape } from "./inputs.ts";

/** What one window gave. */
export interface WindowResult {
  readonly index: number;
  /** Seconds from the start of the sound. */
  readonly start: number;
  /** Until the next window is run. */
  readonly outputs: Tensors;
}

/** @throws {TypeError} INVALID_ARGUMENT for a state that the model does not have */
export function checkState({ inputs, outputs }: Pick<Model, "inputs" | "outputs">, state: Flags["state"]): void {
  for (const [name, next] of state ?? []) {
    const input = inputs.find((info) => info.name === name), output = outputs.find((info) => info.name === next);
    const wrong = input === undefined
      ? `the model's inputs are ${inputs.map(({ name }) => name).join(", ")}`
      : output === undefined
      ? `the model's outputs are ${outputs.map(({ name }) => name).join(", ")}`
      : input.dtype === output.dtype
      ? undefined
      : `${input.dtype} wanted, ${output.dtype} found`;
    if (wrong !== undefined) throw typeError("INVALID_ARGUMENT", `Cannot feed "${next}" back as "${name}": ${wrong}`);
  }
}

/** How many windows cover so many samples. */
export function windowCount(length: number, window: number, hop: number): number {
  return length === 0 ? 0 : Math.max(0, Math.ceil((length - window) / hop)) + 1;
}

/**
 * Runs a model over a sound, window by window; the last one is filled up with silence.
 *
 * @throws {TypeError} INVALID_ARGUMENT for a sound that is empty; as the model's `run` rejects
 */
export async function* runWindows(
  model: Model,
  { wanted, sound: { samples, rate }, from }: GivenSound,
  feeds: Given["feeds"],
  { window, hop = window, state, outputs }: Pick<Flags, "hop" | "state"> & {
    readonly window: number;
    readonly outputs: readonly string[];
  },
  signal: AbortSignal,
): AsyncGenerator<WindowResult> {
  const count = windowCount(samples.length, window, hop!), all = soundData(wanted, samples, from);
  if (count === 0) throw typeError("INVALID_ARGUMENT", `Cannot run over ${from}: it has no samples`);
  const piece = new (arrayOf(wanted.dtype as NumericDType))(window) as Float32Array<ArrayBuffer>;
  const input = Tensor.from(piece, soundShape(wanted, window, `a window of ${from}`), wanted.dtype);
  const next: Record<string, Tensor> = { ...feeds, [wanted.name]: input };
  let before: Tensors | undefined;
  try {
    for (let index = 0; index < count; index++) {
      const at = index * hop!, part = (all as Float32Array).subarray(at, at + window);
      piece.fill(0, part.length);
      piece.set(part);
      const found = await model.run(next, { outputs, signal });
      before?.[Symbol.dispose]();
      before = found;
      for (const [name, output] of state ?? []) next[name] = found[output]!;
      yield { index, start: at / rate, outputs: found };
    }
  } finally {
    before?.[Symbol.dispose]();
  }
}

/** Keeps what an output was in all windows. */
export class Stack {
  readonly #name: string;
  readonly #parts: NumericArray[] | string[][] = [];
  #first: Pick<Tensor, "dtype" | "shape"> | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  /** Copies a tensor. @throws {RangeError} INVALID_SHAPE when it is not of the first one's shape */
  add(tensor: Tensor): void {
    const { dtype, shape } = tensor;
    this.#first ??= { dtype, shape };
    if (!equalShapes(this.#first.shape, shape)) {
      const found = `${showShape(this.#first.shape)} wanted, ${showShape(shape)} found`;
      throw rangeError("INVALID_SHAPE", `Cannot write output "${this.#name}" of all windows: shape ${found}`);
    }
    (this.#parts as unknown[]).push(tensor.contiguous().data.slice());
  }

  /** All of them, one after another along a new first dimension. */
  tensor(): Tensor {
    const { dtype, shape } = this.#first!, all = [this.#parts.length, ...shape];
    if (dtype === "string") return Tensor.from((this.#parts as string[][]).flat(), all, dtype);
    const parts = this.#parts as DataOf["float32"][], size = parts[0]!.length;
    const data = new (arrayOf(dtype))(parts.length * size) as DataOf["float32"];
    parts.forEach((part, i) => data.set(part, i * size));
    return Tensor.from(data, all, dtype);
  }
}
