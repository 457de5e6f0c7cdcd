import { WorkerError } from "../../errors.ts";
import type { SequenceOptions } from "../../protocol/call_options.ts";
import { OipError, quote } from "../../protocol/oip/oip_error.ts";
import type { SequencePlace } from "../../protocol/oip/sequence_parameters.ts";

/** How many sequences of callers are known, and for how long each is at least, in ms. */
export interface SequenceLimits {
  readonly most: number;
  readonly idleMs: number;
}

/** A sequence that was started. */
interface Open {
  /** What the lane calls it: never what another was called, so that nobody goes on with somebody else's state. */
  readonly number: number;
  /** Requests of it that are not answered yet. */
  running: number;
  /** When it was last asked for. */
  usedAt: number;
}

/**
 * Sequences of callers over HTTP, by the numbers by which the lane knows those of all callers. No connection owns one:
 * who ends none leaves it, and when there are too many, what was left for longest makes room for the next. The lane does
 * the same with their state.
 */
export class CallerSequences {
  readonly #limits: SequenceLimits;
  readonly #open = new Map<string, Open>();
  #last = 0;

  constructor(limits: SequenceLimits) {
    this.#limits = limits;
  }

  /** How many there are. */
  get count(): number {
    return this.#open.size;
  }

  /**
   * Runs a request of a sequence.
   *
   * @throws {OipError} 400 for one that was not started @throws {WorkerError} WORKER_BUSY where there are too many
   * @throws as `run`: a sequence that was to start is then unknown, and any other as it was
   */
  async within<T>(
    model: string,
    { id, start, end }: SequencePlace,
    run: (sequence: SequenceOptions) => Promise<T>,
  ): Promise<T> {
    const key = JSON.stringify([model, id]), open = start ? this.#start(key) : this.#open.get(key);
    if (open === undefined) throw unknown(model, id);
    const forget = (): unknown => this.#open.get(key) === open && this.#open.delete(key);
    open.running++;
    open.usedAt = performance.now();
    try {
      const result = await run({ id: open.number, start, end });
      if (end) forget();
      return result;
    } catch (error) {
      const isUnknown = (error as { code?: unknown }).code === "UNKNOWN_SEQUENCE";
      if (start || isUnknown) forget();
      throw isUnknown ? unknown(model, id) : error;
    } finally {
      open.running--;
    }
  }

  #start(key: string): Open {
    if (this.#open.size >= this.#limits.most && !this.#open.has(key)) this.#forgetOldest();
    const open = { number: ++this.#last, running: 0, usedAt: 0 };
    this.#open.set(key, open);
    return open;
  }

  #forgetOldest(): void {
    const idle = [...this.#open].filter(([, { running }]) => running === 0), { most, idleMs } = this.#limits;
    const oldest = idle.sort(([, one], [, other]) => one.usedAt - other.usedAt)[0];
    if (oldest === undefined || performance.now() - oldest[1].usedAt < idleMs) {
      const message = `Cannot start a sequence: ${most} are open, and none was left for ${idleMs} ms`;
      throw new WorkerError("WORKER_BUSY", message);
    }
    this.#open.delete(oldest[0]);
  }
}

function unknown(model: string, id: number | string): OipError {
  const which = `sequence ${quote(String(id))} of model "${model}"`;
  return new OipError(400, `Cannot go on with ${which}: it was not started, or is over`);
}
