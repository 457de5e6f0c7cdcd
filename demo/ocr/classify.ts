/**
 * Is this line upside down? PP-OCR direction classification.
 *
 * @module
 */
import { type Model, Tensor } from "../../mod.ts";
import { type Picture, resize, toPlanes } from "../image.ts";

const height = 48;
const width = 192;
const sureness = 0.9;
const normalization = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] } as const;

/** Whether a line of text stands on its head. */
export async function isUpsideDown(model: Model, line: Picture): Promise<boolean> {
  const scaled = resize(line, Math.min(Math.ceil((line.width * height) / line.height), width), height);
  using input = Tensor.from(toPlanes(scaled, normalization, width), [1, 3, height, width]);
  using result = await model.run({ [model.inputs[0].name]: input });
  return result[model.outputs[0].name].as("float32").data[1] > sureness;
}
