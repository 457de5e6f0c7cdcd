import type { ModelStatus } from "../../../protocol/status.ts";
import type { CountedModel } from "../counted_model.ts";
import { type Metric, modelLabels, type Sample, stateSamples } from "./definitions.ts";

const STATES: readonly ModelStatus["state"][] = ["absent", "loading", "ready", "failed"];

function memory(model: CountedModel): Sample[] {
  const { weights = 0, shared = 0, arena = 0 } = model.status.memory ?? {}, labels = modelLabels(model);
  return Object.entries({ weights, shared, arena }).map(([kind, bytes]) => [{ ...labels, kind }, bytes]);
}

const batches = (model: CountedModel): Sample[] =>
  model.statistics.batches.map(({ size, runs }) => [{ ...modelLabels(model), batch_size: `${size}` }, runs]);

/** What Coload tells of each model beside the field's metrics. */
export const MODEL_METRICS: readonly Metric[] = [
  {
    name: "coload_model_state",
    help: "1 for what a model is: absent is not loaded now, the next request loads it",
    type: "gauge",
    labels: ["model", "version", "state"],
    samples: ({ models }) => models.flatMap((model) => stateSamples(STATES, model.status.state, modelLabels(model))),
  },
  {
    name: "coload_model_memory_bytes",
    help: "Bytes of a model: weights of this process alone, weights that processes share, and the arena of its runs",
    type: "gauge",
    labels: ["model", "version", "kind"],
    samples: ({ models }) => models.flatMap(memory),
  },
  {
    name: "coload_batched_requests_total",
    help: "Requests that ran with others",
    type: "counter",
    labels: ["model", "version"],
    samples: ({ models }) => models.map((model) => [modelLabels(model), model.statistics.batched]),
  },
  {
    name: "coload_executions_total",
    help: "Runs by their rows: exact up to 64, above that by the next power of two",
    type: "counter",
    labels: ["model", "version", "batch_size"],
    samples: ({ models }) => models.flatMap(batches),
  },
  {
    name: "coload_execution_seconds_total",
    help: "Time that executors spent on a model",
    type: "counter",
    labels: ["model", "version"],
    samples: ({ models }) => models.map((model) => [modelLabels(model), model.statistics.runMs / 1000]),
  },
];
