/**
 * From a map of text probabilities to text boxes: the post-processing of "Real-time Scene Text Detection with
 * Differentiable Binarization" (https://arxiv.org/abs/1911.08947), with the constants of PP-OCRv4.
 *
 * @module
 */
import type { Point } from "../image.ts";
import { contains, convexHull, corners, type Quad, type Rectangle, smallestRectangle } from "./geometry.ts";

/** A piece of text that was found: where, and how sure the detector is (0 to 1). */
export interface TextBox {
  readonly corners: Quad;
  readonly score: number;
}

/** Probabilities of text, `[height, width]`, 0 to 1. */
export interface ProbabilityMap {
  readonly data: Float32Array;
  readonly width: number;
  readonly height: number;
}

const pixelThreshold = 0.3;
const boxThreshold = 0.6;
const unclipRatio = 1.5;
const minimumSide = 3;

/** Finds the boxes in a map, in the map's own pixels. */
export function findBoxes(map: ProbabilityMap): TextBox[] {
  const boxes: TextBox[] = [];
  for (const edge of edges(map)) {
    const rectangle = smallestRectangle(convexHull(edge));
    if (Math.min(rectangle.width, rectangle.height) < minimumSide) continue;
    const score = meanWithin(map, corners(rectangle));
    if (score < boxThreshold) continue;
    const grown = unclip(rectangle);
    if (Math.min(grown.width, grown.height) >= minimumSide + 2) boxes.push({ corners: corners(grown), score });
  }
  return boxes;
}

/** The detector marks the core of a text; this grows it back to the whole. */
function unclip(rectangle: Rectangle): Rectangle {
  const { width, height } = rectangle;
  const by = (width * height * unclipRatio) / (2 * (width + height));
  return { ...rectangle, width: width + 2 * by, height: height + 2 * by };
}

/** For each connected component (8 neighbours) above the threshold, the first and last pixel of each of its rows. */
function* edges({ data, width, height }: ProbabilityMap): Generator<Point[]> {
  const seen = new Uint8Array(width * height);
  const stack: number[] = [];
  for (let start = 0; start < seen.length; start++) {
    if (seen[start] || data[start] <= pixelThreshold) continue;
    const rows = new Map<number, [number, number]>();
    seen[start] = 1;
    stack.push(start);
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      const y = Math.floor(at / width);
      const x = at - y * width;
      const row = rows.get(y);
      if (!row) rows.set(y, [x, x]);
      else if (x < row[0]) row[0] = x;
      else if (x > row[1]) row[1] = x;
      for (let ny = Math.max(y - 1, 0); ny <= Math.min(y + 1, height - 1); ny++) {
        for (let nx = Math.max(x - 1, 0); nx <= Math.min(x + 1, width - 1); nx++) {
          const next = ny * width + nx;
          if (seen[next] || data[next] <= pixelThreshold) continue;
          seen[next] = 1;
          stack.push(next);
        }
      }
    }
    yield [...rows].flatMap(([y, [left, right]]) => [{ x: left, y }, { x: right, y }]);
  }
}

function meanWithin({ data, width, height }: ProbabilityMap, quad: Quad): number {
  const xs = quad.map((p) => p.x);
  const ys = quad.map((p) => p.y);
  let sum = 0;
  let count = 0;
  for (let y = Math.max(Math.floor(Math.min(...ys)), 0); y <= Math.min(Math.ceil(Math.max(...ys)), height - 1); y++) {
    for (let x = Math.max(Math.floor(Math.min(...xs)), 0); x <= Math.min(Math.ceil(Math.max(...xs)), width - 1); x++) {
      if (!contains(quad, { x, y })) continue;
      sum += data[y * width + x];
      count++;
    }
  }
  return count === 0 ? 0 : sum / count;
}
