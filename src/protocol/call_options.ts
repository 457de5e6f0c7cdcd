import { rangeError, typeError } from "../errors.ts";
import { checkRunOptions, type RunOptions, type RunSyncOptions } from "../session/run_options.ts";
import { PRIORITIES, type Priority } from "./lane_layout.ts";

/**
 * A request's place in a stream whose state the worker keeps: the inputs that are state are not fed. One that was not
 * started, or is over, is a TypeError UNKNOWN_SEQUENCE; so is one that was left while 4096 others were used.
 */
export interface SequenceOptions {
  /** Which stream of this client: a whole number from 1 up. */
  readonly id: number;
  /** Begins it, with state of zeros. Default: `false`. */
  readonly start?: boolean;
  /** Ends it, and frees its state. Default: `false`. */
  readonly end?: boolean;
}

/** What a request to a worker may say beside what a run may. */
export interface RequestOptions {
  /** For how long to wait for the answer, in ms, before it is given up and stopped. Default: the client's. */
  timeoutMs?: number;
  /** For how long it may wait for its turn, in ms, before it is refused. Default: as `timeoutMs`; over HTTP without an end. */
  queueTimeoutMs?: number;
  /** Which requests of the model go first. Default: `"normal"`. */
  priority?: Priority;
  /** A stream whose state the worker keeps. */
  sequence?: SequenceOptions;
  /** Whether it may be sent again when the worker died while it may have run. Default: the client's `retry`. */
  idempotent?: boolean;
}

/** Options of a synchronous request. */
export interface CallSyncOptions extends RunSyncOptions, RequestOptions {}
/** Options of a request. */
export interface CallOptions extends RunOptions, RequestOptions {}

/** @throws {TypeError | RangeError} for options that are not what their types say */
export function checkCallOptions(options: CallOptions): void {
  const { timeoutMs, queueTimeoutMs, priority, sequence, idempotent: _, ...run } = options;
  checkRunOptions(run);
  for (const [what, ms] of Object.entries({ timeoutMs, queueTimeoutMs })) {
    if (ms === undefined || (typeof ms === "number" && ms > 0)) continue;
    throw rangeError("OUT_OF_RANGE", `Cannot run: a ${what} above 0 wanted, ${ms} found`);
  }
  if (priority !== undefined && !PRIORITIES.includes(priority)) {
    const message = `Cannot run: the priority ${PRIORITIES.join(", ")} wanted, ${String(priority)} found`;
    throw typeError("INVALID_ARGUMENT", message);
  }
  if (sequence !== undefined && !(Number.isSafeInteger(sequence?.id) && sequence.id > 0)) {
    throw rangeError(
      "OUT_OF_RANGE",
      `Cannot run: a whole number from 1 up wanted as sequence.id, ${sequence?.id} found`,
    );
  }
}
