import { Counter, Gauge, Registry } from "prom-client";
import type { Metric, MetricSources } from "./metrics/definitions.ts";
import { INFERENCE_METRICS } from "./metrics/inference_metrics.ts";
import { LatencyHistogram } from "./metrics/latency_histogram.ts";
import { MODEL_METRICS } from "./metrics/model_metrics.ts";
import { WORKER_METRICS } from "./metrics/worker_metrics.ts";

export type { MetricSources } from "./metrics/definitions.ts";

/** The type of what {@linkcode metricsText} returns. */
export const METRICS_CONTENT_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE;

/** All metrics of a worker, in Prometheus' text format. */
export function metricsText(sources: MetricSources): Promise<string> {
  const registry = new Registry();
  for (const metric of [...INFERENCE_METRICS, ...MODEL_METRICS, ...WORKER_METRICS]) register(registry, metric, sources);
  new LatencyHistogram(registry, sources.models);
  return registry.metrics();
}

/** Takes up what a metric is now. A counter, made anew for each question, counts from 0 to there in one step. */
function register(registry: Registry, { name, help, type, labels, samples }: Metric, sources: MetricSources): void {
  const options = { name, help, labelNames: labels, registers: [registry] };
  const metric = type === "counter" ? new Counter(options) : new Gauge(options);
  for (const [labels, value] of samples(sources)) {
    if (metric instanceof Counter) metric.inc(labels, value);
    else metric.set(labels, value);
  }
}
