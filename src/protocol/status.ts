import type { SessionMemory } from "../session/inference_session.ts";
import type { Sharing } from "../weights/share.ts";

/** A client of a worker. */
export interface ClientStatus {
  /** Its number among the worker's clients. */
  readonly id: number;
  /** Its process; 0 where it is in a pid namespace that the worker does not see. */
  readonly pid: number;
  /** What it calls itself. */
  readonly name: string;
  /** Its runtime and version. */
  readonly runtime: string;
  /** Whether its tensors come through shared memory, and not as bytes. */
  readonly sharesMemory: boolean;
  /** In ms since the epoch. */
  readonly connectedAt: number;
  /** Requests that wait. */
  readonly queued: number;
}

/** What a worker is doing: `starting` until its models are loaded, `busy` while it runs, `draining` when it ends. */
export type WorkerState = "starting" | "ready" | "busy" | "draining";

/** A model of a worker. */
export interface ModelStatus {
  /** What clients know it by. */
  readonly name: string;
  /** What it says of itself. */
  readonly version: string;
  /** Its file. */
  readonly path: string;
  /** `absent`: not loaded now, the next request loads it. */
  readonly state: "absent" | "loading" | "ready" | "failed";
  /** Why the last load failed; an older one may serve. */
  readonly problem?: string;
  /** In ms since the epoch. */
  readonly loadedAt?: number;
  /** What it holds, in bytes; not there while it is not loaded, as the next. */
  readonly memory?: SessionMemory;
  /** Whether other processes share its weights. */
  readonly sharing?: Sharing;
  /** Whether requests are joined, and by which axes, or why not. */
  readonly batching: string;
  /** Requests that wait. */
  readonly queued: number;
  /** Requests that were answered. */
  readonly requests: number;
  /** How many of them by an error. */
  readonly failures: number;
  /** Requests that were refused, as the queue was full or they had waited too long. */
  readonly refused: number;
  /** Times that it ran. */
  readonly runs: number;
  /** Requests that ran with others. */
  readonly batchedRequests: number;
  /** The most that did so at once. */
  readonly largestBatch: number;
  /** Mean over all requests. */
  readonly meanQueueMs: number;
  /** Mean over all runs. */
  readonly meanRunMs: number;
  /** From a request's arrival to its answer, within 9 %. */
  readonly latencyMs: { readonly p50: number; readonly p90: number; readonly p99: number };
}

/** Memory of a process in bytes, as /proc tells it. */
export interface ProcessMemory {
  /** Pages of its own, and its part of those that it shares: PSS. */
  readonly proportional: number;
  /** Pages of its own. */
  readonly private: number;
  /** Its part of pages that it shares with others. */
  readonly shared: number;
}

/** What a worker is and does. */
export interface WorkerStatus {
  /** What it is doing. */
  readonly state: WorkerState;
  /** Its process. */
  readonly pid: number;
  /** Its runtime and version. */
  readonly runtime: string;
  /** Coload's version. */
  readonly version: string;
  /** In ms since the epoch. */
  readonly startedAt: number;
  /** Where it listens. */
  readonly socket: string;
  /** Where it answers HTTP. */
  readonly http?: string;
  /** Threads that run models. */
  readonly executors: number;
  /** What its process holds; `undefined` where /proc does not tell. */
  readonly memory: ProcessMemory | undefined;
  /** Its models, loaded or not. */
  readonly models: readonly ModelStatus[];
  /** Who is connected. */
  readonly clients: readonly ClientStatus[];
}
