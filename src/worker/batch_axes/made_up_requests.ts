import { setImmediate as turn } from "node:timers/promises";
import { rangeError } from "../../errors.ts";
import type { ValueInfo } from "../../ort/type_info.ts";
import type { Feeds } from "../../session/run_options.ts";
import { toBFloat16 } from "../../tensor/bfloat16.ts";
import { type DType, elementByteLength, type NumericDType } from "../../tensor/dtype.ts";
import { showShape } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { BatchAxes } from "../batch_axes.ts";
import { joinBlocks, joinExtents, type Part } from "../batch_blocks.ts";

/** What requests are made up of. */
export interface RequestPlan {
  /** Every open dimension that is not joined, and that `dimensions` does not name. */
  readonly size: number;
  readonly dimensions: Readonly<Record<string, number>>;
  /** What elements of integer tensors are, one or the other; and all those of tensors that requests have in common. */
  readonly integers: { readonly either: readonly [number, number]; readonly same: number };
  /** A real request, whose shapes, integers and common tensors are taken. */
  readonly example: Feeds | undefined;
}

/** What a request's floats are multiplied with, by its number; 1 for those that follow. */
const SCALES = [1, 0.5, 0, 300, -300, 0.01];
/** By its number, of which request's noise it is: the loud ones are each other's negatives, for what hangs on a sign. */
const NOISE_OF = [0, 1, 2, 3, 3];
/** No input of a joined run is made larger than this. */
const MAX_INPUT_BYTES = 64 << 20;
/** Elements that are made up without giving the event loop its turn. */
const AT_ONCE = 1 << 18;

/** Numbers from -1 to 1, the same ones for a seed: the upper bits of a linear congruential generator. */
function noise(seed: number): () => number {
  let state = Math.imul(seed, 0x9E3779B1);
  return () => {
    state = Math.imul(state, 1664525) + 1013904223 | 0;
    return state / 2 ** 31;
  };
}

/** What an integer tensor's elements are by their number, with a random number from -1 to 1. */
function integersOf(name: string, number: number, plan: RequestPlan): (index: number, random: number) => number {
  const { either: [even, odd] } = plan.integers, given = plan.example?.[name]?.data;
  if (given === undefined || given.length === 0) {
    return (index, random) => (index === 0 ? number % 2 === 1 : random > 0) ? odd : even;
  }
  return (index, random) => { // lower by one where it can be: a length, or an index, that is valid as well
    const value = Number(given[Math.floor(Math.abs(random) * given.length) % given.length]);
    return value > 0 && (index + number) % 2 === 1 ? value - 1 : value;
  };
}

/** An element of a dtype: `element` takes its index and a random number. */
function elementOf(
  info: ValueInfo,
  number: number,
  same: boolean,
  plan: RequestPlan,
): (index: number, random: number) => number {
  const { name, dtype } = info, scale = same ? 1 : SCALES[number] ?? 1, given = plan.example?.[name];
  if (dtype === "bfloat16") return (_, random) => toBFloat16(random * scale + 0);
  if (/float/.test(dtype)) return (_, random) => random * scale + 0; // of which -0 makes 0
  if (dtype === "uint8" && given === undefined) {
    return (_, random) => Math.trunc(Math.abs(random) * 255 * Math.min(1, Math.abs(scale)));
  }
  if (dtype === "int8" && given === undefined) {
    return (_, random) => Math.trunc(random * 127 * Math.max(-1, Math.min(1, scale)));
  }
  return same ? () => plan.integers.same : integersOf(name, number, plan);
}

/** Refuses what would take too long. @throws {RangeError} INVALID_SHAPE */
function checkSize(shape: readonly number[], dtype: DType): void {
  const byteLength = shape.reduce((product, size) => product * size, elementByteLength(dtype));
  if (byteLength <= MAX_INPUT_BYTES) return;
  throw rangeError("INVALID_SHAPE", `an input of shape ${showShape(shape)} is too large to try`);
}

async function makeTensor(
  info: ValueInfo,
  shape: readonly number[],
  element: (index: number, random: number) => number,
  seed: number,
): Promise<Tensor> {
  checkSize(shape, info.dtype as DType);
  const tensor = Tensor.zeros(info.dtype as NumericDType, shape), { data } = tensor, next = noise(seed);
  for (let start = 0; start < data.length; start += AT_ONCE) {
    if (start > 0) await turn();
    for (let i = start; i < Math.min(data.length, start + AT_ONCE); i++) {
      const value = element(i, next());
      data[i] = typeof data[i] === "bigint" ? BigInt(value) : value;
    }
  }
  return tensor;
}

/**
 * Makes up a request. Requests of other numbers are of other noise and another loudness, number 2 of zeros; what all
 * have in common is the same for each number.
 *
 * @param extent how many rows it brings into a batch
 * @throws {RangeError} INVALID_SHAPE when an input would be too large
 */
export async function makeUpRequest(
  inputs: readonly ValueInfo[],
  axes: BatchAxes["inputs"],
  plan: RequestPlan,
  number: number,
  extent: number,
): Promise<Feeds> {
  const feeds: Record<string, Tensor> = Object.create(null);
  for (const [i, info] of inputs.entries()) {
    const axis = axes[info.name]!, same = axis === "same", given = plan.example?.[info.name];
    if (same && given !== undefined) {
      feeds[info.name] = given;
      continue;
    }
    const shape = info.shape.map((size, j) => {
      if (j === axis) return extent;
      if (typeof size === "number" && size >= 0) return size;
      return given?.shape[j] ?? (Object.hasOwn(plan.dimensions, size) ? plan.dimensions[size]! : plan.size);
    });
    const seed = 1 + i + (same ? 0 : inputs.length * (1 + (NOISE_OF[number] ?? number)));
    feeds[info.name] = await makeTensor(info, shape, elementOf(info, number, same, plan), seed);
  }
  return feeds;
}

/** A row-major tensor's bytes, which it goes on owning. */
export function partOf(tensor: Tensor): Part {
  const { buffer, byteOffset, byteLength } = tensor.data as Uint8Array;
  return { shape: tensor.shape, bytes: new Uint8Array(buffer, byteOffset, byteLength) };
}

/** Joins requests that were made up for these axes. @throws {RangeError} INVALID_SHAPE when an input would be too large */
export function joinRequests(axes: BatchAxes["inputs"], requests: readonly Feeds[]): Feeds {
  const feeds: Record<string, Tensor> = Object.create(null);
  for (const [name, axis] of Object.entries(axes)) {
    const tensors = requests.map((request) => request[name]!), { dtype } = tensors[0]!;
    if (axis === "same") {
      feeds[name] = tensors[0]!;
      continue;
    }
    const shape = joinExtents(tensors.map(({ shape }) => shape), axis)!;
    checkSize(shape, dtype);
    const joined = Tensor.zeros(dtype, shape);
    joinBlocks(partOf(joined).bytes, tensors.map(partOf), axis, elementByteLength(dtype));
    feeds[name] = joined;
  }
  return feeds;
}
