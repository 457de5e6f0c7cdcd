/**
 * From a picture to its text: detection, then for every line at once direction and recognition.
 *
 * @module
 */
import type { Model } from "../../mod.ts";
import { type Picture, turn } from "../image.ts";
import { isUpsideDown } from "./classify.ts";
import { cropLine } from "./crop.ts";
import { detectText } from "./detect.ts";
import type { Quad } from "./geometry.ts";
import { readingOrder } from "./order.ts";
import { recognizeLine } from "./recognize.ts";

/** What reading needs. */
export interface OcrModels {
  readonly detection: Model;
  readonly direction: Model;
  readonly recognition: Model;
  readonly dictionary: readonly string[];
}

/** A line of text that was read. */
export interface Line {
  readonly text: string;
  /** The mean probability of its characters, 0 to 1. */
  readonly score: number;
  readonly corners: Quad;
  readonly upsideDown: boolean;
}

/** A line that was read with less than this is noise: a rule, a shadow, a texture. */
const minimumScore = 0.5;

/** Reads all text of a picture, in reading order. */
export async function readText(ocr: OcrModels, picture: Picture): Promise<Line[]> {
  const boxes = await detectText(ocr.detection, picture);
  const lines = await Promise.all(boxes.map(async ({ corners }): Promise<Line> => {
    const crop = cropLine(picture, corners);
    const upsideDown = await isUpsideDown(ocr.direction, crop);
    const reading = await recognizeLine(ocr.recognition, ocr.dictionary, upsideDown ? turn(crop, 180) : crop);
    return { ...reading, corners, upsideDown };
  }));
  return readingOrder(lines.filter(({ score, text }) => score >= minimumScore && text.trim() !== ""));
}
