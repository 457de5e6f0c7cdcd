import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import type { Tensors } from "../../session/tensors.ts";
import type { Recording } from "./recording.ts";

/** Requests to send. It ends with its time or with its requests, whichever comes first. */
export interface Load {
  /** Requests on their way at the same time: always so many, or with `arrivals` at most. */
  readonly concurrency: number;
  /** No request is begun later. Those on their way are waited for. */
  readonly durationMs?: number;
  readonly requests?: number;
  /**
   * When each request is to begin, whatever became of those before it: an open loop. Its latency counts from then,
   * though it should begin late. Without, each request begins when another has ended: a closed loop.
   */
  readonly arrivals?: { readonly firstMs: number; readonly everyMs: number };
}

/** A request, which can be sent any number of times. */
export interface Request {
  run(): Promise<Tensors>;
  /** Instead of `run`, where the calling thread is to wait. */
  runSync?(): Tensors;
}

/** How late a timer may be: nearer than this the event loop turns until it is time. */
const TIMER_MS = 2.5;
/** How long a timer sleeps at most, so that an abort is seen. */
const NAP_MS = 100;
/** How long synchronous requests keep signals and timers waiting. */
const STARVE_MS = 50;

/**
 * Sends the load, and records what becomes of it. An abort ends it at once: what is on its way then does not count.
 */
export async function send(load: Load, request: Request, recording: Recording, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>(), abort = (): void => aborted.resolve();
  signal.addEventListener("abort", abort);
  if (signal.aborted) abort();
  const begin = performance.now(), loop = load.arrivals === undefined ? closedLoop : openLoop;
  try {
    await Promise.race([loop(load, begin, sender(request, recording), signal), aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
    recording.end(performance.now() - begin);
  }
}

/** Sends a request whose latency counts from a time; never rejects. */
type Send = (since: number) => Promise<void>;

function sender(request: Request, recording: Recording): Send {
  let turned = performance.now();
  const sendSync = async (since: number): Promise<void> => {
    attemptSync(request as Required<Request>, recording, since);
    if (performance.now() - turned < STARVE_MS) return;
    await turn();
    turned = performance.now();
  };
  return request.runSync ? sendSync : (since) => attempt(request, recording, since);
}

async function attempt(request: Request, recording: Recording, since: number): Promise<void> {
  try {
    using _ = await request.run();
    recording.succeeded(performance.now() - since);
  } catch (error) {
    recording.failed(error);
    await turn(); // what fails at once must not keep signals from coming in
  }
}

function attemptSync(request: Required<Request>, recording: Recording, since: number): void {
  try {
    using _ = request.runSync();
    recording.succeeded(performance.now() - since);
  } catch (error) {
    recording.failed(error);
  }
}

async function closedLoop(load: Load, begin: number, send: Send, signal: AbortSignal): Promise<void> {
  const { concurrency, durationMs = Infinity, requests = Infinity } = load;
  let begun = 0;
  const lane = async (): Promise<void> => {
    for (let now = performance.now(); now - begin < durationMs && begun < requests; now = performance.now()) {
      if (signal.aborted) return;
      begun++;
      await send(now);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
}

async function openLoop(load: Load, begin: number, send: Send, signal: AbortSignal): Promise<void> {
  const { concurrency, arrivals } = load, { firstMs, everyMs } = arrivals!, total = arrivalCount(load);
  let onTheirWay = 0, wake = (): void => {};
  const fewerThan = async (count: number): Promise<void> => {
    while (onTheirWay >= count) await new Promise<void>((resolve) => wake = resolve);
  };
  for (let i = 0; i < total; i++) {
    const due = begin + firstMs + i * everyMs;
    await until(due, signal);
    await fewerThan(concurrency);
    if (signal.aborted) return;
    onTheirWay++;
    void send(due).then(() => {
      onTheirWay--;
      wake();
    });
  }
  await fewerThan(1);
}

/** How many requests arrive in an open loop's time. */
export function arrivalCount({ durationMs = Infinity, requests = Infinity, arrivals }: Load): number {
  const { firstMs, everyMs } = arrivals!, rounding = 1e-9;
  return Math.min(requests, Math.max(0, Math.ceil((durationMs - firstMs) / everyMs - rounding)));
}

async function until(time: number, signal: AbortSignal): Promise<void> {
  for (let left = time - performance.now(); left > 0 && !signal.aborted; left = time - performance.now()) {
    if (left > TIMER_MS) await sleep(Math.min(left - TIMER_MS, NAP_MS));
    else await turn();
  }
}
