/**
 * The order in which a person would read the lines.
 *
 * @module
 */
import type { Point } from "../image.ts";
import { distance, type Quad } from "./geometry.ts";

/** What the order depends on: where a line is, and whether it was found upside down. */
export interface Placed {
  readonly corners: Quad;
  readonly upsideDown: boolean;
}

/** Sorts lines by row, then along the row, on a page that may be tilted or stand on its head. */
export function readingOrder<T extends Placed>(lines: readonly T[]): T[] {
  const direction = pageDirection(lines);
  const placed = lines.map((line) => {
    const [a, , c] = line.corners;
    const center = { x: (a.x + c.x) / 2, y: (a.y + c.y) / 2 };
    return {
      line,
      along: center.x * direction.x + center.y * direction.y,
      across: center.y * direction.x - center.x * direction.y,
      height: distance(line.corners[0], line.corners[3]),
    };
  }).sort((a, b) => a.across - b.across);

  const rows: (typeof placed)[] = [];
  for (const item of placed) {
    const row = rows.at(-1);
    if (row && item.across - row[0].across < Math.min(item.height, row[0].height) / 2) row.push(item);
    else rows.push([item]);
  }
  return rows.flatMap((row) => row.sort((a, b) => a.along - b.along).map(({ line }) => line));
}

/** The unit direction in which the page's text runs: its lines' directions, weighted by their length. */
function pageDirection(lines: readonly Placed[]): Point {
  let x = 0;
  let y = 0;
  for (const { corners: [left, right], upsideDown } of lines) {
    x += upsideDown ? left.x - right.x : right.x - left.x;
    y += upsideDown ? left.y - right.y : right.y - left.y;
  }
  const length = Math.hypot(x, y);
  return length === 0 ? { x: 1, y: 0 } : { x: x / length, y: y / length };
}
