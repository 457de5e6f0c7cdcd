import { WorkerError } from "../errors.ts";
import type { CallFrame } from "./call_frame.ts";
import type { ClientLane } from "./client_lane.ts";

/** Looking for an answer: at most so many ms, and so many times what a run took as a rule. */
const MOST_LOOK_MS = 1, LOOK_FACTOR = 1.5, LEAST_LOOK_MS = 0.02;
/** How long a synchronous call sleeps at a time, and how often it looks after the worker, in ms. */
const SLEEP_MS = 20, LOOK_AFTER_MS = 60;

/** Looks for answers in a lane, without an event loop. */
export class AnswerLooks {
  readonly #lane: ClientLane;
  /** By the number of the model, what a run takes as a rule, in ms. */
  readonly #runMs: number[] = [];

  constructor(lane: ClientLane) {
    this.#lane = lane;
  }

  /** Notes for how long a model ran, in ms. */
  note(model: number, runMs: number): void {
    this.#runMs[model] = (this.#runMs[model] ?? runMs) * 0.9 + runMs * 0.1;
  }

  /** Whether a model's runs are known to take less than so many ms. */
  isQuick(model: number, milliseconds: number): boolean {
    return (this.#runMs[model] ?? Infinity) < milliseconds;
  }

  /** Looks for an answer for so many ms; if none came, the doorbell rings when it does. Whether it is there. */
  isAnsweredSoon(frame: CallFrame, milliseconds: number): boolean {
    const { slot, sequence } = frame;
    if (this.#lane.look(slot, sequence, milliseconds)) return true;
    frame.wantBell();
    return this.#lane.isAnswered(slot, sequence);
  }

  /**
   * Blocks until a request is answered: looks for about as long as it may take, then sleeps.
   *
   * @param checkWorker throws if the worker is gone
   * @throws {WorkerError} WORKER_TIMEOUT
   */
  awaitAnswer({ slot, sequence, model }: CallFrame, timeoutMs: number, checkWorker: () => void): void {
    const lane = this.#lane, ms = this.#runMs[model.description.index] ?? 0;
    if (lane.look(slot, sequence, Math.min(MOST_LOOK_MS, Math.max(LEAST_LOOK_MS, ms * LOOK_FACTOR)))) return;
    const start = performance.now();
    for (let lookedAt = start;;) {
      lane.sleep(slot, sequence, Math.min(SLEEP_MS, timeoutMs));
      if (lane.isAnswered(slot, sequence)) return;
      const now = performance.now();
      if (now - start >= timeoutMs) {
        throw new WorkerError("WORKER_TIMEOUT", `No answer within ${timeoutMs} ms`);
      }
      if (now - lookedAt < LOOK_AFTER_MS) continue;
      lookedAt = now;
      checkWorker();
    }
  }
}
