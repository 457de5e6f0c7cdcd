import type { AllocatorMetrics } from "../../../tensor/shared_memory_allocator.ts";
import type { RegistryMetrics } from "../../../registry/registry_types.ts";
import type { WorkerStatus } from "../../../protocol/status.ts";
import type { CountedModel } from "../counted_model.ts";

/** What the metrics are made of. */
export interface MetricSources {
  readonly status: WorkerStatus;
  /** The models of the status. */
  readonly models: readonly CountedModel[];
  readonly registry: RegistryMetrics;
  readonly allocator: AllocatorMetrics;
  /** Shared memory that clients have registered. */
  readonly regions: { readonly count: number; readonly byteLength: number };
}

/** Labels in the order in which they are told. */
export type Labels = Readonly<Record<string, string>>;

/** One value of a metric. */
export type Sample = readonly [labels: Labels, value: number];

/** A metric: a `counter` only ever grows, as long as the worker lives. */
export interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly labels: readonly string[];
  readonly samples: (sources: MetricSources) => readonly Sample[];
}

/** The labels of a model. */
export const modelLabels = ({ status: { name, version } }: CountedModel): Labels => ({ model: name, version });

/** A 1 for the state that is, and 0 for all others. */
export const stateSamples = (states: readonly string[], found: string, labels: Labels = {}): Sample[] =>
  states.map((state) => [{ ...labels, state }, state === found ? 1 : 0]);
