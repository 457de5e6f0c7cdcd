import { Gauge, type MetricType, type MetricValueWithName, type Registry } from "prom-client";
import type { CountedModel } from "../counted_model.ts";
import { modelLabels } from "./definitions.ts";

type Values = Awaited<ReturnType<Gauge["get"]>>;

const NAME = "coload_request_duration_seconds";
/** What the library writes; its types say that it is a number. */
const HISTOGRAM = "histogram" as unknown as MetricType;

/**
 * A histogram of what was counted elsewhere: how long requests took, by powers of two of a microsecond. The library's own
 * one counts by itself.
 */
export class LatencyHistogram extends Gauge {
  readonly #models: readonly CountedModel[];

  constructor(registry: Registry, models: readonly CountedModel[]) {
    super({
      name: NAME,
      help: "Time from a request's arrival to its answer, also to an error",
      labelNames: ["model", "version"],
      registers: [registry],
    });
    this.#models = models;
  }

  /** The counts as they are. */
  override async get(): Promise<Values> {
    return { ...await super.get(), type: HISTOGRAM, values: this.#models.flatMap(valuesOf) };
  }
}

function valuesOf(model: CountedModel): MetricValueWithName<string>[] {
  const { latencyOctaves, totalMs, failedMs } = model.statistics, labels = modelLabels(model);
  let count = 0;
  const buckets = latencyOctaves.map((within, i) => {
    count += within;
    return { metricName: `${NAME}_bucket`, labels: { ...labels, le: 2 ** (i + 1) / 1e6 }, value: count };
  });
  return [
    ...buckets,
    { metricName: `${NAME}_bucket`, labels: { ...labels, le: "+Inf" }, value: count },
    { metricName: `${NAME}_sum`, labels, value: (totalMs + failedMs) / 1000 },
    { metricName: `${NAME}_count`, labels, value: count },
  ];
}
