import { clearInterval, setInterval } from "node:timers";
import { Crowd } from "./crowd.ts";

/** How often to look, in ms. */
const LOOK_MS = 1000;

interface Deadline {
  /** By `performance.now()`. */
  readonly at: number;
  readonly act: () => void;
  /** Takes it off. */
  off: () => void;
}

/** What is done when time is over, unless it is called off before: one timer for many, who come and go with requests. */
export class Deadlines implements Disposable {
  readonly #open = new Crowd<Deadline>();
  readonly #timer: ReturnType<typeof setInterval>;

  /** @param lookMs how much later it may be */
  constructor(lookMs: number = LOOK_MS) {
    this.#timer = setInterval(() => this.#look(), lookMs).unref();
  }

  /** Acts once so many ms are over, unless the returned function is called before. */
  after(ms: number, act: () => void): () => void {
    const deadline: Deadline = { at: performance.now() + ms, act, off() {} };
    return deadline.off = this.#open.add(deadline);
  }

  #look(): void {
    const now = performance.now();
    this.#open.forEach(({ at, act, off }) => {
      if (at > now) return;
      off();
      act();
    });
  }

  /** Does nothing from now on. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
