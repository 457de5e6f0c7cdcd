import { OwnedMemory } from "../../../ffi/owned_memory.ts";
import type { ModelStatus, WorkerStatus } from "../../../src/protocol/status.ts";
import type { CountedModel } from "../../../src/worker/http/counted_model.ts";
import { type ModelStatistics, Statistics, STATISTICS_BYTE_LENGTH } from "../../../src/worker/statistics.ts";

/** What is counted for the first model of a worker. */
export function statisticsOf(count: (statistics: Statistics) => void = () => {}): ModelStatistics {
  using memory = new OwnedMemory(STATISTICS_BYTE_LENGTH);
  const statistics = new Statistics(memory.address);
  count(statistics);
  return statistics.of(0);
}

/** A model that is ready, as a worker's status tells of it. */
export function modelStatus(parts: Partial<ModelStatus> = {}): ModelStatus {
  return {
    name: "m",
    version: "1",
    path: "/models/m.onnx",
    state: "ready",
    loadedAt: 1,
    memory: { weights: 1000, shared: 200, arena: 30, source: "measured" },
    batching: "off: maxBatchSize is 1",
    queued: 0,
    requests: 0,
    failures: 0,
    refused: 0,
    runs: 0,
    batchedRequests: 0,
    largestBatch: 0,
    meanQueueMs: 0,
    meanRunMs: 0,
    latencyMs: { p50: 0, p90: 0, p99: 0 },
    ...parts,
  };
}

/** A model of which two requests were joined, one ran alone, one of each kind failed, and two were refused. */
export function busyModel(parts: Partial<ModelStatus> = {}): CountedModel {
  const statistics = statisticsOf((statistics) => {
    statistics.noteRun(0, 0, 2, 100, 4, 1);
    statistics.noteRun(1, 0, 1, 1, 2, 1);
    for (const totalMs of [5, 6]) statistics.noteRequest(0, 0, totalMs - 4, totalMs);
    statistics.noteRequest(1, 0, 0.5, 2.5);
    for (const reason of ["cancelled", "run", "other"] as const) statistics.noteFailure(0, 0, 10, reason);
    for (const waitedMs of [0, 50]) statistics.noteRefused(1, 0, waitedMs);
  });
  return { status: modelStatus({ queued: 3, ...parts }), statistics };
}

/** A worker's status. */
export function workerStatus(parts: Partial<WorkerStatus> = {}): WorkerStatus {
  return {
    state: "ready",
    pid: 1,
    runtime: "deno 2.9.6",
    version: "0.1.0",
    startedAt: 1_700_000_000_500,
    socket: "worker.sock",
    executors: 4,
    memory: { proportional: 3000, private: 2000, shared: 1000 },
    models: [],
    clients: [],
    ...parts,
  };
}
