/** Why a model left. */
export type EvictionReason = "ttl" | "budget" | "memory" | "unload" | "clear" | "owner";

/** What an event tells. */
export interface RegistryEventDetail {
  /** The model's key, as {@linkcode ModelInfo} gives it. */
  readonly key: string;
  /** Bytes that it holds, or held. */
  readonly bytes?: number;
  /** Why it left, for `evict`. */
  readonly reason?: EvictionReason;
  /** What went wrong, for `fail`. */
  readonly error?: unknown;
}

/** What a registry tells: `load` after a model was loaded, `hit` when it was there, `evict` when it left, `fail`. */
export type RegistryEventType = "load" | "hit" | "evict" | "fail";
