import { typeError } from "../../errors.ts";
import type { ValueInfo } from "../../ort/type_info.ts";
import type { Feeds } from "../../session/run_options.ts";
import { toBFloat16 } from "../../tensor/bfloat16.ts";
import type { DType } from "../../tensor/dtype.ts";
import { SharedMemoryAllocator } from "../../tensor/shared_memory_allocator.ts";
import type { StorageKind } from "../../tensor/storage.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { whyNotFed } from "../../weights/feeds.ts";

/** What a model is fed with. */
export interface FeedOptions {
  /** Where tensors lie; strings always lie in the heap. */
  readonly storage: StorageKind;
  /** Sizes of open dimensions by their names; 1 where nothing is said. */
  readonly dimensions?: Readonly<Record<string, number>>;
  /** Whole shapes by the inputs' names. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** What all elements of an input are, by its name. */
  readonly values?: Readonly<Record<string, number>>;
}

/** Tensors for a model's inputs, with values that were made up. It owns them. */
export class MadeFeeds implements Disposable {
  readonly feeds: Feeds;
  readonly #tensors = new DisposableStack();

  /**
   * Floats from -1 to 1, bytes up to 100, 1 for other integers, the same ones each time.
   *
   * @throws {TypeError} INVALID_ARGUMENT for a name that the model does not have, or a shape or value that is not the
   * input's; UNSUPPORTED for an input that is no tensor
   */
  constructor(inputs: readonly ValueInfo[], options: FeedOptions) {
    const odd = whyNotFed(inputs);
    if (odd !== undefined) throw typeError("UNSUPPORTED", `Cannot feed the model: ${odd}`);
    checkNames(inputs, options);
    try {
      this.feeds = Object.fromEntries(inputs.map((input) => [input.name, this.#make(input, options)]));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #make(input: ValueInfo, options: FeedOptions): Tensor {
    const dtype = input.dtype as DType, value = options.values?.[input.name];
    const tensor = this.#tensors.use(emptyTensor(dtype, shapeOf(input, options), options.storage));
    try {
      fill(tensor, value);
    } catch (cause) {
      const message = `Cannot fill input "${input.name}" with ${value}: its dtype is ${dtype}`;
      throw typeError("INVALID_ARGUMENT", message, { cause });
    }
    return tensor;
  }

  [Symbol.dispose](): void {
    this.#tensors.dispose();
  }
}

const isOpen = (size: number | string): boolean => typeof size === "string" || size < 0;

function checkNames(inputs: readonly ValueInfo[], { dimensions = {}, shapes = {}, values = {} }: FeedOptions): void {
  const names = inputs.map(({ name }) => name);
  const open = new Set(inputs.flatMap(({ shape }) => shape.filter((size) => typeof size === "string" && size !== "")));
  check(Object.keys(dimensions), [...open].map(String), (name) => `set dimension "${name}"`, "open dimensions");
  check(Object.keys(shapes), names, (name) => `give input "${name}" a shape`, "inputs");
  check(Object.keys(values), names, (name) => `give input "${name}" a value`, "inputs");
}

function check(given: string[], known: string[], doing: (name: string) => string, what: string): void {
  const unknown = given.find((name) => !known.includes(name));
  if (unknown === undefined) return;
  const found = known.length === 0
    ? `the model has no ${what} with names`
    : `the model's ${what} are ${known.join(", ")}`;
  throw typeError("INVALID_ARGUMENT", `Cannot ${doing(unknown)}: ${found}`);
}

function shapeOf({ name, shape }: ValueInfo, { dimensions = {}, shapes = {} }: FeedOptions): readonly number[] {
  const given = shapes[name];
  if (given === undefined) return shape.map((size) => isOpen(size) ? dimensions[size] ?? 1 : size as number);
  if (given.length === shape.length && given.every((size, i) => isOpen(shape[i]!) || size === shape[i])) return given;
  const wanted = shape.map((size) => isOpen(size) ? size === -1 || size === "" ? "any" : size : size);
  throw typeError(
    "INVALID_ARGUMENT",
    `Cannot give input "${name}" the shape [${given.join(", ")}]: [${wanted.join(", ")}] wanted`,
  );
}

function emptyTensor(dtype: DType, shape: readonly number[], storage: StorageKind): Tensor {
  if (storage === "heap" || dtype === "string") return Tensor.zeros(dtype, shape);
  return storage === "shared"
    ? SharedMemoryAllocator.default.tensor(dtype, shape)
    : Tensor.zeros(dtype, shape, { storage });
}

/** Numbers from -1 to 1: the upper bits of a linear congruential generator. */
function noise(): () => number {
  let state = 12345;
  return () => (state = Math.imul(state, 1664525) + 1013904223 | 0) / 2 ** 31;
}

/** @throws {RangeError | TypeError} when the dtype does not hold the value */
function fill({ dtype, data }: Tensor, value: number | undefined): void {
  const isFloat = /float/.test(dtype), isByte = dtype === "uint8" || dtype === "int8";
  if (dtype === "string" && value === undefined) return void data.fill("a" as never);
  if (value !== undefined || !(isFloat || isByte)) {
    const [element] = Tensor.from([value ?? 1], [1], dtype).data;
    return void data.fill(element as never);
  }
  const numbers = data as Uint8Array, next = noise();
  for (let i = 0; i < numbers.length; i++) {
    const number = next();
    numbers[i] = isByte ? Math.abs(Math.trunc(number * 100)) : dtype === "bfloat16" ? toBFloat16(number) : number;
  }
}
