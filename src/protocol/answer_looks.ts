import { WorkerError } from "../errors.ts";
import type { CallFrame } from "./call_frame.ts";
import type { ClientLane } from "./client_lane.ts";
import { SLOT } from "./lane_layout.ts";

/** Looking for an answer: at most so many ms, and so many times what a run took as a rule. */
const MOST_LOOK_MS = 1, LOOK_FACTOR = 1.5, LEAST_LOOK_MS = 0.02;
/** How long a synchronous call sleeps at a time, and how often it looks after the worker, in ms. */
const SLEEP_MS = 20, LOOK_AFTER_MS = 60;

/**
 * For how long an event loop is kept waiting for the answer of a request that is alone, in ms: about what it would take
 * that it sleeps and is woken, on a core that sleeps too.
 */
const SOON_MS = 0.15;

/** Looks for answers in a lane, without an event loop. */
export class AnswerLooks {
  readonly #lane: ClientLane;
  /** By the number of the model, what a run takes as a rule, and a request with its wait for one, in ms. */
  readonly #runMs: number[] = [];
  readonly #answerMs: number[] = [];

  constructor(lane: ClientLane) {
    this.#lane = lane;
  }

  /** Takes in for how long a request that is answered waited and ran; one that did not run says nothing. */
  note(frame: CallFrame): void {
    const { index } = frame.model.description, runMs = frame.word(SLOT.runMicros) / 1000;
    if (runMs === 0) return;
    this.#runMs[index] = mean(this.#runMs[index], runMs);
    this.#answerMs[index] = mean(this.#answerMs[index], frame.word(SLOT.queueMicros) / 1000 + runMs);
  }

  /** Whether requests are known to be answered so soon that it is worth looking for the answer. */
  isQuick({ model }: CallFrame): boolean {
    return (this.#answerMs[model.description.index] ?? Infinity) < SOON_MS;
  }

  /** Looks for an answer for a moment; if none came, the doorbell rings when it does. Whether it is there. */
  isAnsweredSoon(frame: CallFrame): boolean {
    const { slot, sequence } = frame;
    if (this.#lane.look(slot, sequence, SOON_MS)) return true;
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

const mean = (before: number | undefined, found: number): number => (before ?? found) * 0.9 + found * 0.1;
