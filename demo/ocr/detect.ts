/**
 * Where is text? PP-OCRv4 detection.
 *
 * @module
 */
import { type Model, Tensor } from "../../mod.ts";
import { type Picture, resize, toPlanes } from "../image.ts";
import { findBoxes, type TextBox } from "./boxes.ts";

const longestSide = 960;
const normalization = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] } as const;

/** The detector's input: float32 `[1, 3, height, width]`, sides that are multiples of 32 and at most 960. */
export function detectionInput(picture: Picture): Tensor<"float32"> {
  const scale = Math.min(1, longestSide / Math.max(picture.width, picture.height));
  const width = Math.max(Math.round((picture.width * scale) / 32) * 32, 32);
  const height = Math.max(Math.round((picture.height * scale) / 32) * 32, 32);
  return Tensor.from(toPlanes(resize(picture, width, height), normalization), [1, 3, height, width]);
}

/** Finds the pieces of text in a picture, in the picture's own pixels, in no order. */
export async function detectText(model: Model, picture: Picture): Promise<TextBox[]> {
  using input = detectionInput(picture);
  const [, , height, width] = input.shape;
  using result = await model.run({ [model.inputs[0].name]: input });
  const { data } = result[model.outputs[0].name].as("float32");
  const scaleX = picture.width / width;
  const scaleY = picture.height / height;
  return findBoxes({ data, width, height }).map(({ corners: [a, b, c, d], score }) => {
    const scaled = (p: typeof a) => ({ x: p.x * scaleX, y: p.y * scaleY });
    return { corners: [scaled(a), scaled(b), scaled(c), scaled(d)] as const, score };
  });
}
