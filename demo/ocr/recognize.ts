/**
 * What does this line say? PP-OCRv4 recognition.
 *
 * @module
 */
import { type Model, Tensor } from "../../mod.ts";
import { type Picture, resize, toPlanes } from "../image.ts";

const height = 48;
const normalization = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] } as const;

/** Text as read, with the mean probability of its characters (0 to 1). */
export interface Reading {
  readonly text: string;
  readonly score: number;
}

/** The characters that the model's classes stand for: the blank of CTC, the dictionary's lines, the space. */
export function parseDictionary(file: string): readonly string[] {
  return ["", ...file.replace(/\r?\n$/, "").split(/\r?\n/), " "];
}

/** The recognizer's input: float32 `[1, 3, 48, width]`. */
export function recognitionInput(line: Picture): Tensor<"float32"> {
  const width = Math.max(Math.ceil((line.width * height) / line.height), 16);
  return Tensor.from(toPlanes(resize(line, width, height), normalization), [1, 3, height, width]);
}

/**
 * Reads one line of text.
 *
 * @throws {RangeError} when the dictionary is not the model's.
 */
export async function recognizeLine(model: Model, dictionary: readonly string[], line: Picture): Promise<Reading> {
  using input = recognitionInput(line);
  using result = await model.run({ [model.inputs[0].name]: input });
  const output = result[model.outputs[0].name].as("float32");
  const [, steps, classes] = output.shape;
  if (classes !== dictionary.length) {
    throw new RangeError(
      `Cannot read the line: the model has ${classes} characters, the dictionary ${dictionary.length}`,
    );
  }
  return decode(output.data, steps, dictionary);
}

/** Greedy CTC: the best class of each step, repeats merged, blanks dropped. */
function decode(probabilities: Float32Array, steps: number, dictionary: readonly string[]): Reading {
  let text = "";
  let sum = 0;
  let count = 0;
  let previous = 0;
  for (let step = 0; step < steps; step++) {
    const row = probabilities.subarray(step * dictionary.length, (step + 1) * dictionary.length);
    let best = 0;
    for (let i = 1; i < row.length; i++) if (row[i] > row[best]) best = i;
    if (best !== 0 && best !== previous) {
      text += dictionary[best];
      sum += row[best];
      count++;
    }
    previous = best;
  }
  return { text, score: count === 0 ? 0 : sum / count };
}
