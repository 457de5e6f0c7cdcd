import { NativeError } from "../../errors.ts";
import type { BatchAxes, BatchAxesOptions } from "../batch_axes.ts";
import { openAxes } from "./candidates.ts";
import { makeUpRequest, type RequestPlan } from "./made_up_requests.ts";
import { type Runs, tryRun, whyNotProven } from "./proof.ts";

/** With so many runs behind, nothing else is tried. */
export const MAX_RUNS = 256;

/** What open dimensions are tried as, the first that works; then those for which other code computes. */
const SIZES = [8, 32, 64, 224, 4, 3, 2, 1], OTHER_SIZES = [1, 64];
/** What integers are tried as, the first that work: tokens and masks; lengths; and common ones that are offsets. */
const INTEGERS: readonly RequestPlan["integers"][] = [
  { either: [0, 1], same: 1 },
  { either: [1, 2], same: 1 },
  { either: [0, 1], same: 0 },
  { either: [1, 2], same: 0 },
];

/** What a trial comes to: that the model, the memory or a shape refuses it is a reason too. */
async function reasonOf(runs: Runs, trial: () => Promise<string | undefined>): Promise<string | undefined> {
  try {
    return await trial();
  } catch (error) {
    const isReason = error instanceof NativeError ||
      (error as { code?: unknown } | undefined)?.code === "INVALID_SHAPE";
    if (isReason && !runs.signal?.aborted) return (error as Error).message;
    throw error;
  }
}

/** A plan of the size by which requests can be made up that run, or why there is none. */
async function workingPlan(
  runs: Runs,
  axes: BatchAxes["inputs"],
  size: number,
  { dimensions = {}, example }: BatchAxesOptions,
): Promise<RequestPlan | string> {
  const varied = runs.model.inputs.some(({ dtype }) => /^u?int|^bool$/.test(dtype));
  let problem: string | undefined;
  for (const integers of INTEGERS.slice(0, varied ? INTEGERS.length : 1)) {
    const plan = { size, integers, dimensions, example };
    const why = await reasonOf(runs, async () => {
      const found = await tryRun(runs, await makeUpRequest(runs.model.inputs, axes, plan, 0, 1));
      return typeof found === "string" ? found : undefined;
    });
    if (why === undefined) return plan;
    problem ??= why;
  }
  return `no request that was made up runs: ${problem}`;
}

/** The sizes to try where a size is all that a request lacks. */
function sizesFor(runs: Runs, axes: BatchAxes["inputs"], { dimensions = {}, example }: BatchAxesOptions): number[] {
  const lacks = runs.model.inputs.some((input) =>
    openAxes(input, dimensions).some((axis) => axis !== axes[input.name])
  );
  return lacks && example === undefined ? SIZES : [1];
}

/**
 * Tries to join requests along the inputs' axes: of the first size that works, and of those for which other code
 * computes.
 *
 * @param axes the outputs' may be missing: they are noted there
 * @returns why not
 */
export async function whyNotJoined(
  runs: Runs,
  axes: { readonly inputs: BatchAxes["inputs"]; readonly outputs: Record<string, number> },
  options: BatchAxesOptions,
): Promise<string | undefined> {
  const sizes = sizesFor(runs, axes.inputs, options), proven: number[] = [];
  let problem: string | undefined;
  const tryAll = async (sizes: readonly number[], enough: number): Promise<string | undefined> => {
    for (const size of sizes) {
      if (proven.length >= enough) return undefined;
      if (proven.includes(size)) continue;
      if (runs.count >= MAX_RUNS) return `more than ${MAX_RUNS} runs`;
      const plan = await workingPlan(runs, axes.inputs, size, options);
      if (typeof plan === "string") {
        problem ??= plan;
        continue;
      }
      const why = await reasonOf(runs, () => whyNotProven(runs, axes, plan, options.maxBatchSize));
      if (why !== undefined) return sizes.length > 1 ? `${why} (open dimensions of ${size})` : why;
      proven.push(size);
    }
    return undefined;
  };
  const why = await tryAll(sizes, 1);
  if (why !== undefined) return why;
  if (proven.length === 0) return problem;
  return sizes.length > 1 ? await tryAll(OTHER_SIZES, Infinity) : undefined;
}
