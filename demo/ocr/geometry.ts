/**
 * The plane geometry of text boxes: hulls and the smallest rectangle around them.
 *
 * @module
 */
import type { Point } from "../image.ts";

/** The corners of a rectangle at any angle: top left, top right, bottom right, bottom left. */
export type Quad = readonly [Point, Point, Point, Point];

/** The convex hull, counter-clockwise in a plane whose y grows upwards (Andrew's monotone chain). */
export function convexHull(points: readonly Point[]): Point[] {
  const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  if (sorted.length < 3) return sorted;
  const lower = chain(sorted);
  const upper = chain(sorted.reverse());
  return [...lower.slice(0, -1), ...upper.slice(0, -1)];
}

function chain(points: readonly Point[]): Point[] {
  const kept: Point[] = [];
  for (const p of points) {
    while (kept.length > 1 && cross(kept[kept.length - 2], kept[kept.length - 1], p) <= 0) kept.pop();
    kept.push(p);
  }
  return kept;
}

function cross(o: Point, a: Point, b: Point): number {
  return (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x);
}

/** A rectangle at any angle: `axis` is the unit direction of its width. */
export interface Rectangle {
  readonly center: Point;
  readonly axis: Point;
  readonly width: number;
  readonly height: number;
}

/** The rectangle of least area around a convex hull: one of its sides lies on a side of the hull. */
export function smallestRectangle(hull: readonly Point[]): Rectangle {
  let best: Rectangle = { center: hull[0], axis: { x: 1, y: 0 }, width: Infinity, height: Infinity };
  for (let i = 0; i < hull.length; i++) {
    const from = hull[i];
    const to = hull[(i + 1) % hull.length];
    const length = Math.hypot(to.x - from.x, to.y - from.y);
    if (length === 0) continue;
    const rectangle = along(hull, { x: (to.x - from.x) / length, y: (to.y - from.y) / length });
    if (rectangle.width * rectangle.height < best.width * best.height) best = rectangle;
  }
  return best.width === Infinity ? { ...best, width: 0, height: 0 } : best;
}

function along(hull: readonly Point[], axis: Point): Rectangle {
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const { x, y } of hull) {
    const u = x * axis.x + y * axis.y;
    const v = y * axis.x - x * axis.y;
    left = Math.min(left, u);
    right = Math.max(right, u);
    top = Math.min(top, v);
    bottom = Math.max(bottom, v);
  }
  const u = (left + right) / 2;
  const v = (top + bottom) / 2;
  return {
    center: { x: u * axis.x - v * axis.y, y: u * axis.y + v * axis.x },
    axis,
    width: right - left,
    height: bottom - top,
  };
}

/** The corners of a rectangle; "top left" is the upper one of the two leftmost corners. */
export function corners({ center, axis, width, height }: Rectangle): Quad {
  const u = { x: (axis.x * width) / 2, y: (axis.y * width) / 2 };
  const v = { x: (-axis.y * height) / 2, y: (axis.x * height) / 2 };
  const all = [[-1, -1], [1, -1], [1, 1], [-1, 1]]
    .map(([a, b]) => ({ x: center.x + a * u.x + b * v.x, y: center.y + a * u.y + b * v.y }))
    .sort((a, b) => a.x - b.x);
  const [topLeft, bottomLeft] = all[0].y < all[1].y ? [all[0], all[1]] : [all[1], all[0]];
  const [topRight, bottomRight] = all[2].y < all[3].y ? [all[2], all[3]] : [all[3], all[2]];
  return [topLeft, topRight, bottomRight, bottomLeft];
}

/** Whether a point lies in a convex quad (its border included). */
export function contains(quad: Quad, point: Point): boolean {
  return quad.every((corner, i) => cross(corner, quad[(i + 1) % 4], point) >= 0);
}

/** The distance between two points, in pixels. */
export function distance(a: Point, b: Point): number {
  return Math.hypot(a.x - b.x, a.y - b.y);
}
