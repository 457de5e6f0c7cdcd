/**
 * Cuts a line of text out of its picture, level.
 *
 * @module
 */
import { type Picture, type Point, sample } from "../image.ts";
import { distance, type Quad } from "./geometry.ts";

/** A line that is this much taller than wide is set vertically: it is turned by 90 degrees. */
const verticalRatio = 1.5;

/** The pixels within a quad as a level picture of the quad's own size. */
export function cropLine(picture: Picture, [topLeft, topRight, bottomRight, bottomLeft]: Quad): Picture {
  const width = Math.max(Math.round(distance(topLeft, topRight)), 1);
  const height = Math.max(Math.round(distance(topLeft, bottomLeft)), 1);
  if (height >= width * verticalRatio) {
    return sample(picture, { width: height, height: width }, {
      origin: topRight,
      right: step(topRight, bottomRight, height),
      down: step(topRight, topLeft, width),
    });
  }
  return sample(picture, { width, height }, {
    origin: topLeft,
    right: step(topLeft, topRight, width),
    down: step(topLeft, bottomLeft, height),
  });
}

function step(from: Point, to: Point, count: number): Point {
  return { x: (to.x - from.x) / count, y: (to.y - from.y) / count };
}
