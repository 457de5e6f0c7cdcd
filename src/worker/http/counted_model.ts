import type { ModelStatus, WorkerStatus } from "../../protocol/status.ts";
import type { ModelStatistics, Statistics } from "../statistics.ts";

/** A model, and what was counted for it. */
export interface CountedModel {
  readonly status: ModelStatus;
  readonly statistics: ModelStatistics;
}

/** The models of a worker, in the order of its status. */
export function countedModels({ models }: WorkerStatus, statistics: Pick<Statistics, "of">): CountedModel[] {
  return models.map((status, index) => ({ status, statistics: statistics.of(index) }));
}

/** Requests that were answered with their results. */
export function successesOf({ statistics: { requests, failures } }: CountedModel): number {
  return Math.max(0, requests - failures); // executors count meanwhile
}

/** For how long these requests waited and for how long they were computed, all together, in ms. */
export function durationsOf({ statistics }: CountedModel): { readonly queueMs: number; readonly computeMs: number } {
  const { queueMs, totalMs } = statistics;
  return { queueMs, computeMs: Math.max(0, totalMs - queueMs) };
}
