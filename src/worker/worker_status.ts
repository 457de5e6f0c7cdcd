import process from "node:process";
import config from "../../deno.json" with { type: "json" };
import { ffi } from "../../ffi/mod.ts";
import { readText } from "../../ffi/files.ts";
import type { ClientStatus, ModelStatus, ProcessMemory, WorkerStatus } from "../protocol/status.ts";
import type { Board } from "./board/board.ts";
import type { ServedEntry } from "./served_models.ts";
import type { Statistics } from "./statistics.ts";

/** Memory of a process; `undefined` where /proc does not tell. */
export function processMemory(pid: number | "self" = "self"): ProcessMemory | undefined {
  const text = readText(`/proc/${pid}/smaps_rollup`);
  if (text === undefined || text === "") return undefined;
  const of = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(text)?.[1] ?? 0) * 1024;
  const proportional = of("Pss"), own = of("Private_Clean") + of("Private_Dirty");
  return { proportional, private: own, shared: Math.max(0, proportional - own) };
}

/** What the status of a worker is made of. */
export interface StatusSources {
  readonly startedAt: number;
  readonly socket: string;
  readonly http: string | undefined;
  readonly executors: number;
  readonly state: "starting" | "serving" | "draining";
  readonly board: Board;
  readonly statistics: Statistics;
  readonly entries: readonly ServedEntry[];
  readonly clients: readonly Omit<ClientStatus, "queued">[];
}

/** Whether anything runs or waits. */
export function isBusy({ board, executors }: Pick<StatusSources, "board" | "executors">): boolean {
  if (board.queues.waiting > 0) return true;
  for (let executor = 0; executor < executors; executor++) if (board.runs.countOf(executor) > 0) return true;
  return false;
}

/** Puts the status of a worker together. */
export function workerStatus(sources: StatusSources): WorkerStatus {
  const { startedAt, socket, http, executors, board, entries, clients } = sources;
  const state = sources.state === "serving" ? (isBusy(sources) ? "busy" : "ready") : sources.state;
  return {
    state,
    pid: process.pid,
    runtime: ffi.runtime,
    version: config.version,
    startedAt,
    socket,
    ...(http !== undefined && { http }),
    executors,
    memory: processMemory(),
    models: entries.map((entry) => modelStatus(entry, sources)),
    clients: clients.map((client) => ({
      ...client,
      queued: client.sharesMemory ? board.queues.ofClient(client.id) : 0,
    })),
  };
}

function modelStatus(entry: ServedEntry, { board, statistics }: StatusSources): ModelStatus {
  const { index, name, config: { version, path }, state, problem, session, loadedAt, batching } = entry;
  const { requests, failures, refused, runs, batched, largestBatch, queueMs, runMs, latencyMs } = statistics.of(
    index,
  );
  return {
    name,
    version,
    path,
    state,
    ...(problem && { problem: problem.message }),
    ...(session && { loadedAt, memory: session.memory, sharing: session.sharing }),
    batching: describeBatching(batching),
    queued: board.queues.queued(index),
    requests,
    failures,
    refused,
    runs,
    batchedRequests: batched,
    largestBatch,
    meanQueueMs: requests === 0 ? 0 : queueMs / requests,
    meanRunMs: runs === 0 ? 0 : runMs / runs,
    latencyMs: { p50: latencyMs(50), p90: latencyMs(90), p99: latencyMs(99) },
  };
}

function describeBatching(batching: ServedEntry["batching"]): string {
  if ("reason" in batching) return `off: ${batching.reason}`;
  const axes = Object.entries({ ...batching.axes.inputs, ...batching.axes.outputs });
  return `on: ${
    axes.map(([name, axis]) => axis === "same" ? `${name} the same` : `${name} by axis ${axis}`).join(", ")
  }`;
}
