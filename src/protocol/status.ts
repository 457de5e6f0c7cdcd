import type { SessionMemory } from "../session/inference_session.ts";
import type { Sharing } from "../weights/share.ts";

/** A client of a worker, as the status tells of it. */
export interface ClientStatus {
  readonly id: number;
  /** 0 where it is in a pid namespace that the worker does not see. */
  readonly pid: number;
  readonly name: string;
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
  readonly name: string;
  readonly version: string;
  readonly path: string;
  /** `absent`: not loaded now, the next request loads it. */
  readonly state: "absent" | "loading" | "ready" | "failed";
  /** Why the last load failed; an older one may serve. */
  readonly problem?: string;
  /** In ms since the epoch. */
  readonly loadedAt?: number;
  readonly memory?: SessionMemory;
  readonly sharing?: Sharing;
  /** Whether requests are joined, and by which axes, or why not. */
  readonly batching: string;
  /** Requests that wait. */
  readonly queued: number;
  /** Requests that were answered, and how many of them by an error. */
  readonly requests: number;
  readonly failures: number;
  /** Requests that were refused, as the queue was full or they had waited too long. */
  readonly refused: number;
  /** Times that it ran, and requests that ran with others, and the most that did so at once. */
  readonly runs: number;
  readonly batchedRequests: number;
  readonly largestBatch: number;
  /** Means over all requests, or all runs. */
  readonly meanQueueMs: number;
  readonly meanRunMs: number;
  /** From a request's arrival to its answer, within 9 %. */
  readonly latencyMs: { readonly p50: number; readonly p90: number; readonly p99: number };
}

/** Memory of a process in bytes, as /proc tells it. */
export interface ProcessMemory {
  /** Pages of its own, and its part of those that it shares. */
  readonly proportional: number;
  /** Pages of its own. */
  readonly private: number;
  /** Its part of pages that it shares with others. */
  readonly shared: number;
}

/** What a worker is and does. */
export interface WorkerStatus {
  readonly state: WorkerState;
  readonly pid: number;
  readonly runtime: string;
  readonly version: string;
  /** In ms since the epoch. */
  readonly startedAt: number;
  readonly socket?: string;
  readonly executors: number;
  readonly memory: ProcessMemory | undefined;
  readonly models: readonly ModelStatus[];
  readonly clients: readonly ClientStatus[];
}
