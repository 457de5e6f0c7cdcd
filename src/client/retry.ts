import { setTimeout as sleep } from "node:timers/promises";
import { rangeError, WorkerError } from "../errors.ts";
import { neverRan } from "../protocol/never_ran.ts";

/** What is tried again when a worker is away, or has too much to do. */
export interface RetryOptions {
  /** How often, at most, after the first time. Default: 10. */
  attempts?: number;
  /** The first wait, in ms; each further one is twice as long, give or take a quarter. Default: 50. */
  minDelayMs?: number;
  /** The longest wait, in ms. Default: 2000. */
  maxDelayMs?: number;
  /**
   * Whether a request is sent again that may have run when its worker died. Default: `false`: only those that certainly
   * did not run are.
   */
  idempotent?: boolean;
}

/** {@linkcode RetryOptions} with defaults. */
export type Retry = Readonly<Required<RetryOptions>>;

/** @throws {RangeError} OUT_OF_RANGE */
export function checkRetry(given: RetryOptions | undefined): Retry {
  const { attempts = given === undefined ? 0 : 10, minDelayMs = 50, maxDelayMs = 2000, idempotent = false } = given ??
    {};
  const isFine = Number.isInteger(attempts) && attempts >= 0 && minDelayMs >= 0 && maxDelayMs >= minDelayMs;
  if (isFine) return { attempts, minDelayMs, maxDelayMs, idempotent };
  const found = JSON.stringify({ attempts, minDelayMs, maxDelayMs });
  throw rangeError("OUT_OF_RANGE", `Cannot retry: attempts from 0 up and delays that grow wanted, ${found} found`);
}

/** Does something, again where that is allowed. @param mayRepeat whether it may be done again though it may have been done */
export async function retrying<T>(
  work: () => Promise<T>,
  retry: Retry,
  { mayRepeat, deadline, signal }: {
    readonly mayRepeat: boolean;
    readonly deadline: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<T> {
  for (let attempt = 0, delay = retry.minDelayMs;; attempt++, delay = Math.min(retry.maxDelayMs, 2 * delay)) {
    try {
      return await work();
    } catch (error) {
      const isLost = error instanceof WorkerError && error.code === "WORKER_DIED";
      if (attempt >= retry.attempts || !(neverRan(error) || (isLost && mayRepeat))) throw error;
      const wait = delay * (0.75 + Math.random() / 2);
      if (performance.now() + wait > deadline) throw error;
      await sleep(wait, undefined, { ...(signal && { signal }) }).catch(() => signal?.throwIfAborted());
    }
  }
}
