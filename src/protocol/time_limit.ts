import { clearTimeout, setTimeout } from "node:timers";
import { WorkerError } from "../errors.ts";

const MOST_TIMER_MS = 2 ** 31 - 1;

/** A signal that aborts with WORKER_TIMEOUT after so many ms, unless it is disposed of before; or with the other's reason. */
export function timeLimit(timeoutMs: number, other?: AbortSignal): { readonly signal: AbortSignal } & Disposable {
  const late = new AbortController(), reason = new WorkerError("WORKER_TIMEOUT", `No answer within ${timeoutMs} ms`);
  const timer = setTimeout(() => late.abort(reason), Math.min(MOST_TIMER_MS, timeoutMs));
  const signal = other ? AbortSignal.any([other, late.signal]) : late.signal;
  return { signal, [Symbol.dispose]: () => clearTimeout(timer) };
}
