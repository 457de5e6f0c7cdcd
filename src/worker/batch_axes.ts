import { rangeError, typeError } from "../errors.ts";
import type { ValueInfo } from "../ort/type_info.ts";
import type { Model } from "../session/inference_session.ts";
import type { Feeds } from "../session/run_options.ts";
import { isDType } from "../tensor/dtype.ts";
import { candidateAxes, openAxes } from "./batch_axes/candidates.ts";
import type { Runs } from "./batch_axes/proof.ts";
import { MAX_RUNS, whyNotJoined } from "./batch_axes/trials.ts";

/** By which axis each input and output of a model grows with a batch: one row more for each row more. */
export interface BatchAxes {
  /**
   * By input name: the axis along which requests are joined, or "same" for one that all requests of a batch must have
   * equal, such as a sampling rate.
   */
  readonly inputs: Readonly<Record<string, number | "same">>;
  /** By output name: the axis along which the requests' results lie, in their order. */
  readonly outputs: Readonly<Record<string, number>>;
}

/** What was found, or why requests are not joined. */
export type Batchability = { readonly axes: BatchAxes } | { readonly reason: string };

/** How the axes are looked for. */
export interface BatchAxesOptions {
  /** Rows of a joined run at most. What is found holds for no more. */
  maxBatchSize: number;
  /** Sizes of open dimensions, by their names, where the user knows better. Requests are not joined along these. */
  dimensions?: Readonly<Record<string, number>>;
  /**
   * A real request, row-major: it is tried with its shapes, its integers and its values of inputs that are the "same",
   * and with other floats. Without one, sizes and values are made up.
   */
  example?: Feeds;
  /** What joining may change: this part of an output's largest number. Without it, not a bit. */
  tolerance?: number;
  signal?: AbortSignal;
}

/** So many ways that were tried are told of. */
const MAX_REASONS = 4;

function checkOptions(inputs: readonly ValueInfo[], options: BatchAxesOptions): void {
  const { maxBatchSize, tolerance, dimensions = {}, example } = options;
  if (!Number.isSafeInteger(maxBatchSize) || maxBatchSize < 1) {
    throw rangeError("OUT_OF_RANGE", `Cannot join requests: a maxBatchSize from 1 up wanted, ${maxBatchSize} found`);
  }
  if (tolerance !== undefined && !(tolerance >= 0 && tolerance < 1)) {
    throw rangeError("OUT_OF_RANGE", `Cannot join requests: a tolerance from 0 to 1 wanted, ${tolerance} found`);
  }
  const missing = example && inputs.find(({ name }) => !Object.hasOwn(example, name));
  if (missing) throw typeError("MISSING_FEED", `Cannot join requests: the example has no input "${missing.name}"`);
  for (const [name, size] of Object.entries(dimensions)) {
    if (!inputs.some(({ shape }) => shape.includes(name))) {
      throw typeError("INVALID_ARGUMENT", `Cannot set dimension "${name}": the model has no open one of that name`);
    }
    if (!Number.isSafeInteger(size) || size < 0) {
      throw rangeError("OUT_OF_RANGE", `Cannot set dimension "${name}": a whole number wanted, ${size} found`);
    }
  }
}

/** Why no run needs to be tried. */
function whyHopeless(
  { inputs, outputs }: Model,
  { maxBatchSize, dimensions = {} }: BatchAxesOptions,
): string | undefined {
  if (maxBatchSize === 1) return "a batch is of one row at most";
  const odd = [...inputs, ...outputs].find(({ kind, dtype }) => kind !== "tensor" || !isDType(dtype));
  if (odd !== undefined) return `"${odd.name}" is ${odd.dtype}, which cannot be joined`;
  const text = [...inputs, ...outputs].find(({ dtype }) => dtype === "string");
  if (text !== undefined) return `"${text.name}" is of strings, which are not joined`;
  if (inputs.every((input) => openAxes(input, dimensions).length === 0)) return "no input has an open dimension";
  const fixed = outputs.find(({ shape }) => shape.every((size) => typeof size === "number" && size >= 0));
  return fixed && `output "${fixed.name}" does not grow with a batch: it is always [${fixed.shape.join(", ")}]`;
}

const show = (axes: BatchAxes["inputs"]): string =>
  Object.entries(axes).flatMap(([name, axis]) => axis === "same" ? [] : [`${name} by axis ${axis}`]).join(", ");

const startRuns = (model: Model, { tolerance, signal }: BatchAxesOptions): Runs => ({
  model,
  tolerance,
  signal,
  count: 0,
});

/**
 * Looks for axes along which requests to a model can be joined, and proves them on runs of requests that are made up:
 * joined, each gives what it gives alone. The model runs some dozens of times, up to `maxBatchSize` rows at once.
 *
 * Which code computes, and so the last bits, hangs on the sizes of the other dimensions: to the bit, the proof holds for
 * the sizes that were tried. {@linkcode proveBatchAxes} proves it for those of a request.
 *
 * @returns the axes, or what was tried and why requests are not joined
 * @throws {RangeError | TypeError} OUT_OF_RANGE, INVALID_ARGUMENT, MISSING_FEED for bad options
 * @throws {ReferenceError} DISPOSED; an abort rejects with the signal's reason
 */
export async function findBatchAxes(model: Model, options: BatchAxesOptions): Promise<Batchability> {
  checkOptions(model.inputs, options);
  options.signal?.throwIfAborted();
  const hopeless = whyHopeless(model, options);
  if (hopeless !== undefined) return { reason: hopeless };
  const runs = startRuns(model, options), reasons: string[] = [];
  for (const inputs of candidateAxes(model.inputs, options.dimensions ?? {})) {
    if (runs.count >= MAX_RUNS) {
      reasons.splice(MAX_REASONS - 1, Infinity, `more than ${MAX_RUNS} runs`);
      break;
    }
    const outputs: Record<string, number> = Object.create(null);
    const why = await whyNotJoined(runs, { inputs, outputs }, options);
    if (why === undefined) return { axes: { inputs, outputs } };
    reasons.push(`${show(inputs)}: ${why}`);
  }
  return { reason: reasons.slice(0, MAX_REASONS).join("; ") };
}

/**
 * Proves axes that were found before for requests like the example: of its shapes, and with its values of the inputs
 * that all requests of a batch have the "same".
 *
 * @returns why requests like it are not joined; `undefined` where they can be
 * @throws as {@linkcode findBatchAxes}
 */
export async function proveBatchAxes(
  model: Model,
  axes: BatchAxes,
  options: BatchAxesOptions & { example: Feeds },
): Promise<string | undefined> {
  checkOptions(model.inputs, options);
  options.signal?.throwIfAborted();
  const outputs: Record<string, number> = Object.assign(Object.create(null), axes.outputs);
  return await whyNotJoined(startRuns(model, options), { inputs: axes.inputs, outputs }, options);
}
