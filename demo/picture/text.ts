/**
 * The picture of what was read: the photo with its boxes, and the text beside it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { Line } from "../ocr/read.ts";
import { card, element, label, palette, points } from "./svg.ts";

const width = 1200;
const photoWidth = 480;
const top = 104;

/** A photo as it lies on disk, with its size in pixels. */
export interface Photo {
  readonly bytes: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Draws it as SVG; the photo is embedded. */
export function drawText(photo: Photo, lines: readonly Line[]): string {
  const scale = photoWidth / photo.width;
  const photoHeight = photo.height * scale;
  const height = top + Math.max(photoHeight, lines.length * 34) + 40;
  const type = photo.bytes[0] === 0xff ? "image/jpeg" : "image/png";
  const image = element("image", {
    x: 40,
    y: top,
    width: photoWidth,
    height: photoHeight,
    href: `data:${type};base64,${Buffer.from(photo.bytes).toString("base64")}`,
  });
  const boxes = lines.map(({ corners }) =>
    element("polygon", {
      points: points(corners.map(({ x, y }) => ({ x: 40 + x * scale, y: top + y * scale }))),
      fill: palette.accent,
      "fill-opacity": "0.16",
      stroke: palette.accent,
      "stroke-width": 1.5,
    })
  );
  const rowHeight = (height - top - 40) / lines.length;
  const texts = lines.map(({ text, score }, i) => {
    const y = top + (i + 0.5) * rowHeight + 5;
    return label(600, y, score.toFixed(2), { "font-size": 13, "text-anchor": "end", fill: palette.soft }) +
      label(620, y, text, { "font-size": 17, "font-family": "'DejaVu Sans Mono', Menlo, Consolas, monospace" });
  });
  const subtitle = `${lines.length} pieces of text, found and read by PP-OCRv4`;
  return card({ width, height }, "What the picture says", subtitle, image + boxes.join("") + texts.join(""));
}
