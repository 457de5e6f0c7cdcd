import { clearInterval, setInterval } from "node:timers";
import type { ModelStore } from "./model_store.ts";
import type { Resident } from "./residents.ts";

/** How often a waiter looks after a load of another thread, which may have ended. */
const LOOK_AFTER_MS = 50;

/** What became of a load. */
export type Outcome = { readonly resident: Resident } | { readonly error: unknown };

/** One who waits for a load. */
export interface Waiter {
  readonly signal?: AbortSignal;
  /** What became of the load, if anything yet. */
  outcome(): Outcome | undefined;
  /** Gives the use up because the signal aborted. */
  leave(): void;
}

/** Waits until a slot is loaded. When that fails, the waiter's use is given back. */
export function settled(store: ModelStore, slot: number, { signal, ...waiter }: Waiter): Promise<Resident> {
  const { watchers } = store, { promise, resolve, reject } = Promise.withResolvers<Resident>();
  const stop = (): void => {
    watchers.delete(look);
    if (timer) clearInterval(timer);
    signal?.removeEventListener("abort", leave);
  };
  const look = (): void => {
    const outcome = watchers.has(look) ? waiter.outcome() : undefined; // a sweep may end after the wait
    if (outcome === undefined) return;
    stop();
    if ("resident" in outcome) return resolve(outcome.resident);
    reject(outcome.error);
    void store.release(slot);
  };
  const leave = (): void => {
    stop();
    reject(signal!.reason);
    waiter.leave();
  };
  // A load of this thread tells by itself; one of another thread may have lost that thread. The timer also keeps this
  // thread's event loop alive meanwhile.
  const timer = store.isOwn(slot) ? undefined : setInterval(() => void store.sweep().then(look), LOOK_AFTER_MS);
  watchers.add(look);
  signal?.addEventListener("abort", leave);
  if (signal?.aborted) leave();
  else look();
  return promise;
}
