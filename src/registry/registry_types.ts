import type { WeightMemory } from "../session/native_session.ts";
import type { EvictionPolicy } from "./eviction.ts";

/** How a registry keeps models. */
export interface RegistryOptions {
  /** Milliseconds from the last release until a model may go: -1 never, 0 at once. Default: 30,000. */
  ttlMs?: number;
  /** Bytes that all models together may hold; `Infinity` (the default) for no bound. */
  maxMemoryBytes?: number;
  /** Which idle models make way for a new one: least recently used (the default), least frequently used, none. */
  evictionPolicy?: EvictionPolicy;
}

/** One model of a registry. */
export interface ModelInfo {
  /** The model's file without symlinks and its options, the digest of its bytes, or the name that it was given. */
  readonly key: string;
  /** `retired`: unloaded by hand, and still used. */
  readonly state: "loading" | "ready" | "retired";
  /** Bytes held, or expected while it loads. */
  readonly memory: WeightMemory;
  /** References over all Workers of the process. */
  readonly referenceCount: number;
  /** When it was loaded, in ms since the epoch; 0 while it loads. */
  readonly loadedAt: number;
  /** When it was last asked for, in ms since the epoch. */
  readonly lastAccessed: number;
  /** When it may go unless it is asked for, in ms since the epoch; `undefined` while it is used or may stay. */
  readonly expiresAt: number | undefined;
}

/** What a registry counts, over all Workers that ever used it. */
export interface RegistryMetrics {
  /** Models that are there or being loaded. */
  readonly totalModels: number;
  /** Bytes held and reserved. */
  readonly totalMemoryBytes: number;
  /** Requests that found the model there, or its load under way. */
  readonly cacheHits: number;
  /** Requests that did not: those that began a load, and those that the budget refused. */
  readonly cacheMisses: number;
  /** Hits over requests; 0 before the first one. */
  readonly hitRate: number;
  /** Loads that succeeded. */
  readonly loads: number;
  /** Models that left. */
  readonly evictions: number;
  /** Loads that failed or were refused. */
  readonly loadFailures: number;
}

/** What a loader of `getOrLoad` returns. */
export interface LoadedModel<T> {
  /** The object. */
  readonly model: T;
  /** Bytes that it takes from the budget, as the loader declares. Default: 0. */
  readonly memoryBytes?: number;
  /** Called when it leaves the registry. What it throws is told as a `fail` event. */
  readonly dispose?: (model: T) => void | Promise<void>;
}
