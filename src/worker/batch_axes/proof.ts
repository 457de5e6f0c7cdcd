import { NativeError } from "../../errors.ts";
import type { Model } from "../../session/inference_session.ts";
import type { Feeds } from "../../session/run_options.ts";
import type { Tensors } from "../../session/tensors.ts";
import { elementByteLength } from "../../tensor/dtype.ts";
import { equalShapes, showShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { BatchAxes } from "../batch_axes.ts";
import { cutBlocks, equalBut, joinExtents } from "../batch_blocks.ts";
import { agree, areApart, distance, hasNumbers } from "./closeness.ts";
import { joinRequests, makeUpRequest, partOf, type RequestPlan } from "./made_up_requests.ts";

/** Runs of a model, which are counted. */
export interface Runs {
  readonly model: Model;
  readonly tolerance: number | undefined;
  readonly signal: AbortSignal | undefined;
  count: number;
}

/** A request, and what it gives when it runs alone. */
interface Single {
  readonly request: Feeds;
  readonly extent: number;
  readonly outputs: Tensors;
}

/** Along which axes requests are joined; the outputs' are noted as they are found. */
interface Axes {
  readonly inputs: BatchAxes["inputs"];
  readonly outputs: Record<string, number>;
}

/** No more requests than this are made up; larger batches are of several of each. */
const MAX_REQUESTS = 8;
/** So many at least: two of noise, one of zeros, two loud ones. */
const MIN_REQUESTS = 5;

/** Runs the model. @returns why it fails @throws the signal's reason, and mistakes */
export async function tryRun(runs: Runs, feeds: Feeds): Promise<Tensors | string> {
  runs.signal?.throwIfAborted();
  runs.count++;
  try {
    return await runs.model.run(feeds, { ...(runs.signal && { signal: runs.signal }) });
  } catch (error) {
    if (error instanceof NativeError && error !== runs.signal?.reason) return error.message;
    throw error;
  }
}

const elementsOf = (tensor: Tensor): { dtype: Tensor["dtype"]; bytes: Uint8Array } => ({
  dtype: tensor.dtype,
  bytes: partOf(tensor).bytes,
});

const rows = (count: number): string => count === 1 ? "1 row" : `${count} rows`;

/** The requests that are joined in each run, with a `wide` one of 2 rows: each in several places, and beside others. */
function groupsOf(pool: readonly Single[], wide: Single | undefined, maxBatchSize: number): Single[][] {
  const at = (number: number): Single => pool[number % pool.length]!;
  const groups = [[at(0), at(1)], [at(2), at(3)], [at(3), at(0)], [at(1), at(4)]];
  if (wide !== undefined) groups.push([at(1), at(2), at(0)], [at(4), wide], [wide, at(3)]);
  if (maxBatchSize > 3) groups.push(Array.from({ length: maxBatchSize }, (_, i) => at(maxBatchSize - 1 - i)));
  return groups;
}

/** A request that runs alone; `undefined` where the model refuses it. */
async function runSingle(
  runs: Runs,
  axes: BatchAxes["inputs"],
  plan: RequestPlan,
  number: number,
  extent: number,
): Promise<Single | undefined> {
  const request = await makeUpRequest(runs.model.inputs, axes, plan, number, extent);
  const outputs = await tryRun(runs, request);
  return typeof outputs === "string" ? undefined : { request, extent, outputs };
}

/** Why runs of single requests prove nothing: they are not the same each time, or the same for every request. */
async function whyNotTelling(runs: Runs, singles: readonly Single[]): Promise<string | undefined> {
  for (const { request, outputs } of singles.slice(0, 2)) {
    const again = await tryRun(runs, request);
    if (typeof again === "string") return `a request fails the second time: ${again}`;
    for (const { name } of runs.model.outputs) {
      const [before, after] = [outputs[name]!, again[name]!];
      if (!equalShapes(before.shape, after.shape) || !agree(elementsOf(before), elementsOf(after), runs.tolerance)) {
        return `two runs of one request differ in output "${name}"`;
      }
    }
  }
  for (const { name } of runs.model.outputs) {
    const [first, ...others] = singles.map(({ outputs }) => elementsOf(outputs[name]!)).filter(hasNumbers);
    if (first === undefined || !others.some((other) => areApart(first, other, runs.tolerance))) {
      return `output "${name}" is the same for every request that was made up`;
    }
  }
  return undefined;
}

/** The axis along which an output grew from `extent` to `total`, if it is the only one that changed. */
function grownAxis(single: Tensor, joined: Tensor, extent: number, total: number): number | string {
  const { shape } = joined, before = single.shape;
  if (equalShapes(before, shape)) return `does not grow with a batch: it stays ${showShape(shape)}`;
  const axis = before.findIndex((size, i) => size !== shape[i]);
  if (axis >= 0 && equalBut(axis, before, shape) && before[axis] === extent && shape[axis] === total) return axis;
  return `is ${showShape(before)} for ${rows(extent)} and ${showShape(shape)} for ${total}`;
}

/** Why an output of a joined run is not what the requests give one by one. */
function whyDifferent(
  name: string,
  axis: number,
  joined: Tensor,
  singles: readonly Single[],
  tolerance: number | undefined,
): string | undefined {
  const shape = joinExtents(singles.map(({ outputs }) => outputs[name]!.shape), axis), whole = partOf(joined);
  if (!equalShapes(shape, joined.shape)) {
    const shapes = singles.map(({ outputs }) => showShape(outputs[name]!.shape)).join(" and ");
    return `is ${showShape(joined.shape)} in a joined run, and ${shapes} singly`;
  }
  let start = 0;
  for (const { extent, outputs } of singles) {
    const wanted = elementsOf(outputs[name]!), { dtype } = joined;
    if (outputs[name]!.shape[axis] !== extent) return `is ${showShape(outputs[name]!.shape)} for ${rows(extent)}`;
    const found = { dtype, bytes: cutBlocks(whole, axis, elementByteLength(dtype), { start, extent }) };
    if (!agree(wanted, found, tolerance)) {
      const { difference, largest } = distance(wanted, found);
      return `differs by ${difference.toPrecision(2)} of ${
        largest.toPrecision(2)
      } in a joined run of ${singles.length}`;
    }
    start += extent;
  }
  return undefined;
}

/** Runs requests joined, and compares. @returns why the results are others; notes the outputs' axes */
async function tryJoined(
  runs: Runs,
  axes: Axes,
  singles: readonly Single[],
): Promise<string | undefined> {
  const feeds = joinRequests(axes.inputs, singles.map(({ request }) => request)), joined = await tryRun(runs, feeds);
  if (typeof joined === "string") return `a joined run of ${singles.length} fails: ${joined}`;
  const total = singles.reduce((sum, { extent }) => sum + extent, 0), [first] = singles;
  for (const { name } of runs.model.outputs) {
    const axis = grownAxis(first!.outputs[name]!, joined[name]!, first!.extent, total);
    if (typeof axis === "string") return `output "${name}" ${axis}`;
    const why = whyDifferent(name, axes.outputs[name] ??= axis, joined[name]!, singles, runs.tolerance);
    if (why !== undefined) return `output "${name}" ${why}`;
  }
  return undefined;
}

/**
 * Why requests that are joined along these axes do not give what they give one by one; `undefined` where they do. Notes
 * along which axes the outputs grow, and wants those that stand there.
 *
 * @throws {RangeError} INVALID_SHAPE when an input would be too large
 */
export async function whyNotProven(
  runs: Runs,
  axes: Axes,
  plan: RequestPlan,
  maxBatchSize: number,
): Promise<string | undefined> {
  const count = Math.max(MIN_REQUESTS, Math.min(maxBatchSize, MAX_REQUESTS)), pool: Single[] = [];
  for (let number = 0; number < count; number++) {
    const single = await runSingle(runs, axes.inputs, plan, number, 1);
    if (single !== undefined) pool.push(single);
  }
  const why = await whyNotTelling(runs, pool);
  if (why !== undefined) return why;
  const wide = maxBatchSize >= 3 ? await runSingle(runs, axes.inputs, plan, count, 2) : undefined;
  if (maxBatchSize >= 3 && wide === undefined) return "a request of 2 rows fails";
  for (const group of groupsOf(pool, wide, maxBatchSize)) {
    const why = await tryJoined(runs, axes, group);
    if (why !== undefined) return why;
  }
  return undefined;
}
