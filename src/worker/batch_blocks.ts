import type { BatchAxes } from "./batch_axes.ts";

/** How the bytes of a row-major tensor lie along an axis: `outer` blocks of `inner` bytes, one after another. */
export interface Blocks {
  readonly outer: number;
  readonly inner: number;
}

/** A tensor's bytes in row-major order, and its shape. */
export interface Part {
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** How a tensor is cut along an axis: block after block of each request makes the joined tensor. */
export function blocksOf(shape: readonly number[], axis: number, elementByteLength: number): Blocks {
  let outer = 1, inner = elementByteLength;
  for (let i = 0; i < axis; i++) outer *= shape[i]!;
  for (let i = axis; i < shape.length; i++) inner *= shape[i]!;
  return { outer, inner };
}

/** Whether two shapes are the same but for one axis, which both have. */
export function equalBut(axis: number, one: readonly number[], other: readonly number[]): boolean {
  if (one.length !== other.length || axis >= one.length) return false;
  return one.every((size, i) => i === axis || size === other[i]);
}

/** The shape of tensors that are joined along an axis; `undefined` where they differ in another, or there are none. */
export function joinExtents(shapes: readonly (readonly number[])[], axis: number): number[] | undefined {
  const [first] = shapes;
  if (first === undefined || !shapes.every((shape) => equalBut(axis, first, shape))) return undefined;
  return first.with(axis, shapes.reduce((sum, shape) => sum + shape[axis]!, 0));
}

/**
 * How many rows a request brings into a batch, the same ones in each of its inputs.
 *
 * @param shapes by the names of all inputs that the request feeds
 * @returns `undefined` for a request that is to run alone: it feeds something else, nothing for an input, or inputs of
 * different extents, which the model may broadcast
 */
export function requestExtent(
  axes: BatchAxes["inputs"],
  shapes: Readonly<Record<string, readonly number[]>>,
): number | undefined {
  const names = Object.keys(axes);
  if (Object.keys(shapes).length !== names.length) return undefined;
  let extent: number | undefined;
  for (const name of names) {
    const axis = axes[name]!;
    if (!Object.hasOwn(shapes, name)) return undefined;
    if (axis === "same") continue;
    const found = shapes[name]![axis];
    if (!found || (extent !== undefined && found !== extent)) return undefined;
    extent = found;
  }
  return extent;
}

/** Copies tensors into the one that they make when joined, whose bytes are `target`. */
export function joinBlocks(target: Uint8Array, parts: readonly Part[], axis: number, elementByteLength: number): void {
  const blocks = parts.map(({ shape }) => blocksOf(shape, axis, elementByteLength));
  for (let block = 0, place = 0; block < blocks[0]!.outer; block++) {
    for (let i = 0; i < parts.length; i++) {
      const { inner } = blocks[i]!;
      target.set(parts[i]!.bytes.subarray(block * inner, (block + 1) * inner), place);
      place += inner;
    }
  }
}

/** Copies some rows of a joined tensor: `extent` of them, from the one numbered `start`. */
export function cutBlocks(
  { shape, bytes }: Part,
  axis: number,
  elementByteLength: number,
  { start, extent }: { start: number; extent: number },
): Uint8Array<ArrayBuffer> {
  const { outer, inner } = blocksOf(shape, axis, elementByteLength), row = shape[axis] === 0 ? 0 : inner / shape[axis]!;
  const length = row * extent, cut = new Uint8Array(outer * length);
  for (let block = 0; block < outer; block++) {
    const from = block * inner + start * row;
    cut.set(bytes.subarray(from, from + length), block * length);
  }
  return cut;
}
