import type { Load } from "./load.ts";
import type { Recording } from "./recording.ts";

/** What is known of a load while it is being sent. */
export interface Seen {
  readonly successes: number;
  readonly errors: number;
  /** Of those that succeeded, in milliseconds; of several processes the longest. */
  readonly p99: number;
}

/** Where requests come from: this process, or others. */
export interface Source extends AsyncDisposable {
  /** Sends a load, and says what became of it. An abort ends it at once, with what was recorded by then. */
  send(load: Load, signal: AbortSignal): Promise<Recording>;
  /** Of the load that is being sent. */
  readonly seen: Seen;
}
