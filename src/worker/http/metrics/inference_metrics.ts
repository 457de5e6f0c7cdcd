import { type CountedModel, durationsOf, successesOf } from "../counted_model.ts";
import { type Metric, modelLabels, type Sample } from "./definitions.ts";

const MODEL = ["model", "version"] as const;

function counter(name: string, help: string, value: (model: CountedModel) => number): Metric {
  return { name, help, type: "counter", labels: MODEL, samples: ({ models }) => models.map(sample(value)) };
}

const sample = (value: (model: CountedModel) => number) => (model: CountedModel): Sample => //
 [modelLabels(model), value(model)];

const micros = (ms: number): number => Math.round(ms * 1000);

function failures(model: CountedModel): Sample[] {
  const { failures, cancelled, runFailures, refused } = model.statistics, { model: name, version } = modelLabels(model);
  const reasons = {
    REJECTED: refused,
    CANCELED: cancelled,
    BACKEND: runFailures,
    OTHER: Math.max(0, failures - cancelled - runFailures), // executors count meanwhile
  };
  return Object.entries(reasons).map(([reason, count]) => [{ model: name!, reason, version: version! }, count]);
}

/** Metrics by the names that Triton gave them, which dashboards and autoscalers know. */
export const INFERENCE_METRICS: readonly Metric[] = [
  counter("nv_inference_request_success", "Requests that were answered with their results", successesOf),
  {
    name: "nv_inference_request_failure",
    help: "Requests that failed: REJECTED by the queue, CANCELED by their caller, BACKEND in the run, OTHER otherwise",
    type: "counter",
    labels: ["model", "reason", "version"],
    samples: ({ models }) => models.flatMap(failures),
  },
  counter("nv_inference_count", "Rows that were run", ({ statistics }) => statistics.rows),
  counter(
    "nv_inference_exec_count",
    "Runs, each of one request or of many that were joined",
    ({ statistics }) => statistics.runs,
  ),
  counter(
    "nv_inference_request_duration_us",
    "Time from the arrival of requests to their results, all together, in microseconds",
    ({ statistics }) => micros(statistics.totalMs),
  ),
  counter(
    "nv_inference_queue_duration_us",
    "Time that these requests waited, all together, in microseconds",
    (model) => micros(durationsOf(model).queueMs),
  ),
  counter(
    "nv_inference_compute_input_duration_us",
    "Always 0: what it takes to bring inputs in is a part of compute_infer",
    () => 0,
  ),
  counter(
    "nv_inference_compute_infer_duration_us",
    "Time that these requests ran, all together, in microseconds",
    (model) => micros(durationsOf(model).computeMs),
  ),
  counter(
    "nv_inference_compute_output_duration_us",
    "Always 0: what it takes to bring outputs out is a part of compute_infer",
    () => 0,
  ),
  {
    name: "nv_inference_pending_request_count",
    help: "Requests that wait",
    type: "gauge",
    labels: MODEL,
    samples: ({ models }) => models.map(sample(({ status }) => status.queued)),
  },
];
