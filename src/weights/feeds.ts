import { setImmediate as turn } from "node:timers/promises";
import type { Pointer } from "../../ffi/mod.ts";
import { Block } from "../memory/block.ts";
import { ort } from "../ort/environment.ts";
import type { ValueInfo } from "../ort/type_info.ts";
import { createStringValue, createTensorValue } from "../ort/value.ts";
import { toBFloat16 } from "../tensor/bfloat16.ts";
import {
  arrayOf,
  type DType,
  elementByteLength,
  isDType,
  type NumericDType,
  onnxElementType,
} from "../tensor/dtype.ts";

/** What the open dimensions of a model's inputs are in a run that verifies a copy, and what its whole numbers are. */
export interface FeedPlan {
  /** Every open dimension that `dimensions` does not name. */
  readonly size: number;
  readonly dimensions: Readonly<Record<string, number>>;
  /** Every element of an integer tensor: an index that is in range, or a length. */
  readonly integers: 0 | 1;
}

/** No input is made larger than this. */
const MAX_INPUT_BYTES = 256 << 20;

/** Why a model cannot be fed with numbers that were made up, if it cannot. */
export function whyNotFed(inputs: readonly ValueInfo[]): string | undefined {
  const odd = inputs.find(({ kind, dtype }) => kind !== "tensor" || !isDType(dtype));
  return odd && `input "${odd.name}" is ${odd.dtype}, for which no value can be made up`;
}

/** Whether the plan's size means anything to a model. */
export function hasOpenDimension(inputs: readonly ValueInfo[], dimensions: FeedPlan["dimensions"]): boolean {
  return inputs.some(({ shape }) => shape.some((size) => open(size) && !Object.hasOwn(dimensions, size)));
}

const open = (size: number | string): boolean => typeof size === "string" || size < 0;

/** A dimension's size, where it has one or was given one. */
function sizeOf(size: number | string, dimensions: FeedPlan["dimensions"]): number | undefined {
  if (!open(size)) return size as number;
  return Object.hasOwn(dimensions, size) ? dimensions[size] : undefined;
}

/** Elements that are made up without giving the event loop its turn. */
const AT_ONCE = 1 << 18;

/** Numbers from -1 to 1, the same ones each time: the upper bits of a linear congruential generator. */
class Noise {
  #state = 12345;

  next(): number {
    this.#state = Math.imul(this.#state, 1664525) + 1013904223 | 0;
    return this.#state / 2 ** 31;
  }
}

async function fill(block: Block, dtype: NumericDType, size: number, integers: 0 | 1): Promise<void> {
  const data = new (arrayOf(dtype))(block.buffer, 0, size), noise = new Noise();
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return void data.fill(BigInt(integers));
  const isFloat = /float/.test(dtype);
  if (dtype !== "uint8" && dtype !== "int8" && !isFloat) return void data.fill(integers);
  for (let start = 0; start < size; start += AT_ONCE) {
    if (start > 0) await turn();
    for (let i = start; i < Math.min(size, start + AT_ONCE); i++) {
      const value = noise.next();
      data[i] = dtype === "bfloat16" ? toBFloat16(value) : isFloat ? value : Math.abs(Math.trunc(value * 100));
    }
  }
}

/** Made-up values for a model's inputs, in native memory, which end with it. */
export class MadeUpFeeds implements Disposable {
  /** `OrtValue *` by the inputs' names. */
  readonly values: Map<string, Pointer> = new Map<string, Pointer>();
  readonly #blocks: { readonly block: Block; readonly dtype: NumericDType; readonly size: number }[] = [];

  /**
   * Values that are nothing in particular: for a run that does not look at them.
   *
   * @throws {RangeError} when an input would be too large
   */
  constructor(inputs: readonly ValueInfo[], plan: FeedPlan) {
    try {
      for (const { name, dtype, shape } of inputs) this.values.set(name, this.#make(dtype as DType, shape, plan));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Values by the plan, the same ones each time. @throws {RangeError} as the constructor */
  static async filled(inputs: readonly ValueInfo[], plan: FeedPlan): Promise<MadeUpFeeds> {
    const feeds = new MadeUpFeeds(inputs, plan);
    for (const { block, dtype, size } of feeds.#blocks) await fill(block, dtype, size, plan.integers);
    return feeds;
  }

  #make(dtype: DType, shape: ValueInfo["shape"], { size, dimensions }: FeedPlan): Pointer {
    const sizes = shape.map((given) => sizeOf(given, dimensions) ?? size);
    const count = sizes.reduce((product, size) => product * size, 1), type = onnxElementType(dtype);
    const byteLength = count * elementByteLength(dtype);
    if (byteLength > MAX_INPUT_BYTES || count > MAX_INPUT_BYTES) {
      throw new RangeError(`an input of shape [${sizes.join(", ")}] is too large to try`);
    }
    if (dtype === "string") return createStringValue(Array<string>(count).fill("a"), sizes, type);
    const block = new Block(byteLength);
    this.#blocks.push({ block, dtype, size: count });
    return createTensorValue(block.pointer, byteLength, sizes, type);
  }

  [Symbol.dispose](): void {
    for (const value of this.values.values()) ort().api.ReleaseValue(value);
    this.values.clear();
    for (const { block } of this.#blocks.splice(0)) block.dispose();
  }
}
