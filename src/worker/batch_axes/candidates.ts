import type { ValueInfo } from "../../ort/type_info.ts";
import type { BatchAxes } from "../batch_axes.ts";

type InputAxes = BatchAxes["inputs"];
type Sizes = Readonly<Record<string, number>>;

/** No more ways to join are tried than this. */
const MAX_CANDIDATES = 16;
/** With more combinations, only those of a rule are looked at. */
const MAX_COMBINATIONS = 256;

/** The axes along which an input may grow. */
export function openAxes({ shape }: ValueInfo, dimensions: Sizes): number[] {
  return shape.flatMap((size, axis) =>
    typeof size === "string" ? Object.hasOwn(dimensions, size) ? [] : [axis] : size < 0 ? [axis] : []
  );
}

/** Every choice of one option of each list. */
function combinations<T>(lists: readonly (readonly T[])[]): T[][] {
  return lists.reduce<T[][]>((found, list) => found.flatMap((chosen) => list.map((one) => [...chosen, one])), [[]]);
}

/** Whether what has one name stays of one size. */
function keepsNames(inputs: readonly ValueInfo[], axes: readonly (number | "same")[]): boolean {
  const grown = new Set(inputs.flatMap(({ shape }, i) => axes[i] === "same" ? [] : [shape[axes[i] as number]!]));
  return inputs.every(({ shape }, i) =>
    shape.every((size) =>
      typeof size === "number" || !grown.has(size) || (axes[i] !== "same" && shape[axes[i] as number] === size)
    )
  );
}

/**
 * The axes by which requests may be joined, the likeliest first: as many inputs as can be, along the lowest axes.
 *
 * @param dimensions open dimensions that are of a size, by their names
 */
export function candidateAxes(inputs: readonly ValueInfo[], dimensions: Sizes): InputAxes[] {
  const open = inputs.map((input) => openAxes(input, dimensions));
  const names = new Set(inputs.flatMap(({ shape }, i) => open[i]!.map((axis) => shape[axis]!)));
  const rules: ((axes: number[], input: ValueInfo) => number | undefined)[] = [
    (axes) => axes[0] === 0 ? 0 : undefined,
    (axes) => axes[0],
    ...[...names].map((name) => (axes: number[], { shape }: ValueInfo) => axes.find((axis) => shape[axis] === name)),
  ];
  const found: (number | "same")[][] = rules.map((rule) => inputs.map((input, i) => rule(open[i]!, input) ?? "same"));
  const options = open.map((axes) => [...axes, "same" as const]);
  if (options.reduce((product, { length }) => product * length, 1) <= MAX_COMBINATIONS) {
    found.push(...combinations<number | "same">(options));
  }
  const cost = (axes: readonly (number | "same")[]): number =>
    axes.reduce<number>((sum, axis, i) => sum + (axis !== "same" ? axis : open[i]!.length > 0 ? 100 : 0), 0);
  const likely = [...new Map(found.map((axes) => [axes.join(), axes])).values()]
    .filter((axes) => axes.some((axis) => axis !== "same") && keepsNames(inputs, axes))
    .sort((a, b) => cost(a) - cost(b));
  return likely.slice(0, MAX_CANDIDATES)
    .map((axes) => Object.fromEntries(inputs.map(({ name }, i) => [name, axes[i]!])));
}
