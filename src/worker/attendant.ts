import { clearInterval, setInterval } from "node:timers";
import { wakeWord } from "../../ffi/futex.ts";
import type { Pointer } from "../../ffi/mod.ts";
import { monotonicMs } from "../../ffi/monotonic_clock.ts";
import { offset } from "../../ffi/native_memory.ts";
import { PAGE } from "../protocol/lane_layout.ts";
import type { Board } from "./board/board.ts";
import { Intake, type ThreadPlace } from "./executor/intake.ts";
import type { ModelSettings } from "./executor/messages.ts";
import type { Statistics } from "./statistics.ts";

/** How often to look after requests, in ms, and how often at all clients, also those that have not called. */
const LOOK_MS = 20, LOOKS_AT_ALL = 5;

/**
 * Looks after requests while all executors compute: one that finds no place in its queue, or has waited too long, is
 * told so at once and not only when an executor has time.
 */
export class Attendant implements Disposable {
  readonly #board: Board;
  readonly #intake: Intake;
  readonly #doorbell: Pointer;
  readonly #executors: number;
  #looks = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(place: ThreadPlace, board: Board, statistics: Statistics) {
    this.#board = board;
    this.#executors = place.executors;
    this.#doorbell = offset({ address: place.page }, 0);
    this.#intake = new Intake(place, board, statistics);
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** Takes in how requests for a model are to be treated. */
  set(model: number, settings: ModelSettings): void {
    this.#intake.set(model, settings);
  }

  /** Forgets the lane of a client that is gone. */
  forget(client: number): void {
    this.#intake.forget((other) => other === client);
  }

  #look(): void {
    const { queues } = this.#board, isThorough = ++this.#looks % LOOKS_AT_ALL === 0;
    if (queues.waiting === 0 && !this.#intake.isCalled && !isThorough) return;
    this.#board.exclusively(() => {
      const now = monotonicMs(), only = isThorough ? this.#intake.collectAll(now) : this.#intake.collect(now);
      if (only !== undefined) this.#intake.enqueue(only);
    });
    this.#intake.answerRefused();
    if (queues.waiting === 0) return;
    Atomics.add(this.#intake.page, PAGE.doorbell, 1); // who was about to sleep has not seen what is in the queues
    wakeWord(this.#doorbell, this.#executors);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
