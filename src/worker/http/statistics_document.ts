import { type CountedModel, durationsOf, successesOf } from "./counted_model.ts";

/** How often something was done, and how long it took all together. */
export interface DurationStatistic {
  readonly count: number;
  readonly ns: number;
}

/** The part of it that is of one size of batch. */
export interface BatchStatistic {
  readonly batch_size: number;
  readonly compute_input: DurationStatistic;
  readonly compute_infer: DurationStatistic;
  readonly compute_output: DurationStatistic;
}

/** What the statistics extension says of a model. */
export interface ModelStatistic {
  readonly name: string;
  readonly version: string;
  /** In ms since the epoch; 0 before the first. */
  readonly last_inference: number;
  readonly inference_count: number;
  readonly execution_count: number;
  readonly inference_stats: Readonly<Record<InferenceStatistic, DurationStatistic>>;
  readonly batch_stats: readonly BatchStatistic[];
  readonly memory_usage: readonly { readonly type: string; readonly id: number; readonly byte_size: number }[];
}

/** Durations that the extension tells apart. */
export type InferenceStatistic =
  | "success"
  | "fail"
  | "queue"
  | "compute_input"
  | "compute_infer"
  | "compute_output"
  | "cache_hit"
  | "cache_miss";

const duration = (count: number, ms = 0): DurationStatistic => ({ count, ns: Math.round(ms * 1e6) });

/**
 * The statistics extension's document of models, by Triton's names.
 *
 * `success` and `fail` are whole requests, from their arrival in the queue to their answer; requests that were refused
 * count as failed. `compute_infer` is all of a run, also what it takes to bring inputs in and outputs out: these are not
 * measured by themselves, so `compute_input` and `compute_output` have counts, and 0 ns. A request that ran with others
 * counts all of that run. `inference_count` and `batch_size` are rows, where requests of the model are joined; sizes
 * above 64 are told as the next power of two. There is no cache of responses.
 */
export function statisticsDocument(
  models: readonly CountedModel[],
): { readonly model_stats: readonly ModelStatistic[] } {
  return { model_stats: models.map(modelStatistic) };
}

function modelStatistic(model: CountedModel): ModelStatistic {
  const { status: { name, version, memory }, statistics } = model, { failures, refused, rows, runs } = statistics;
  const successes = successesOf(model), { queueMs, computeMs } = durationsOf(model);
  return {
    name,
    version,
    last_inference: statistics.lastRunAt,
    inference_count: rows,
    execution_count: runs,
    inference_stats: {
      success: duration(successes, statistics.totalMs),
      fail: duration(failures + refused, statistics.failedMs + statistics.refusedMs),
      queue: duration(successes, queueMs),
      compute_input: duration(successes),
      compute_infer: duration(successes, computeMs),
      compute_output: duration(successes),
      cache_hit: duration(0),
      cache_miss: duration(0),
    },
    batch_stats: statistics.batches.map(({ size, runs, runMs }) => ({
      batch_size: size,
      compute_input: duration(runs),
      compute_infer: duration(runs, runMs),
      compute_output: duration(runs),
    })),
    memory_usage: memory === undefined
      ? []
      : [{ type: "CPU", id: 0, byte_size: memory.weights + memory.shared + memory.arena }],
  };
}
