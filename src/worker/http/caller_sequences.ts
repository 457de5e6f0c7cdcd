import type { SequenceOptions } from "../../protocol/call_options.ts";
import { WorkerError } from "../../errors.ts";
import { OipError, quote } from "../../protocol/oip/oip_error.ts";
import type { SequencePlace } from "../../protocol/oip/sequence_parameters.ts";

/** How many sequences of callers are kept, and for how long each is at least, in ms. */
export interface SequenceLimits {
  readonly most: number;
  readonly idleMs: number;
}

/** A sequence that was started. */
interface Open {
  readonly key: string;
  /** What the lane calls it. */
  readonly number: number;
  /** Requests of it that are not answered yet. */
  running: number;
  /** When the last of them was. */
  usedAt: number;
  /** Whether it goes with the last of them. */
  isOver: boolean;
}

/**
 * Sequences of callers over HTTP, by the numbers by which the lane knows those of all callers. No connection owns one:
 * who ends none leaves it, and when there are too many, what was left for longest makes room for the next.
 */
export class CallerSequences {
  readonly #limits: SequenceLimits;
  readonly #open = new Map<string, Open>();
  readonly #free: number[];

  constructor(limits: SequenceLimits) {
    this.#limits = limits;
    this.#free = Array.from({ length: limits.most }, (_, i) => limits.most - i);
  }

  /** How many there are. */
  get count(): number {
    return this.#open.size;
  }

  /**
   * Runs a request of a sequence.
   *
   * @throws {OipError} 400 for one that was not started @throws {WorkerError} WORKER_BUSY where there are too many
   * @throws as `run`, which leaves a sequence as it was, and one that was to start unknown
   */
  async within<T>(
    model: string,
    { id, start, end }: SequencePlace,
    run: (sequence: SequenceOptions) => Promise<T>,
  ): Promise<T> {
    const key = JSON.stringify([model, id]), found = this.#open.get(key);
    if (found === undefined && !start) {
      const message = `Cannot go on with sequence ${
        quote(String(id))
      } of model "${model}": it was not started, or is over`;
      throw new OipError(400, message);
    }
    const open = found ?? this.#start(key);
    open.running++;
    open.isOver = end; // the lane takes requests in this order
    try {
      return await run({ id: open.number, start, end });
    } catch (error) {
      if (open.running === 1) open.isOver = found === undefined;
      throw error;
    } finally {
      open.usedAt = performance.now();
      if (--open.running === 0 && open.isOver) this.#end(open);
    }
  }

  #start(key: string): Open {
    if (this.#free.length === 0) this.#endOldest();
    const open = { key, number: this.#free.pop()!, running: 0, usedAt: performance.now(), isOver: false };
    this.#open.set(key, open);
    return open;
  }

  /** What the lane keeps of it goes when its number starts another. */
  #end({ key, number }: Open): void {
    this.#open.delete(key);
    this.#free.push(number);
  }

  #endOldest(): void {
    const idle = [...this.#open.values()].filter(({ running }) => running === 0);
    const oldest = idle.sort((one, other) => one.usedAt - other.usedAt)[0], { most, idleMs } = this.#limits;
    if (oldest !== undefined && performance.now() - oldest.usedAt >= idleMs) return this.#end(oldest);
    throw new WorkerError(
      "WORKER_BUSY",
      `Cannot start a sequence: ${most} are open, and none was left for ${idleMs} ms`,
    );
  }
}
