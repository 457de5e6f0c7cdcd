/** The first wait before a worker is started again and the longest, in ms; and how long it serves until that is forgotten. */
const FIRST_MS = 100, LONGEST_MS = 10_000, FORGET_MS = 10_000;

/** How long to wait before a worker that died is started again: longer each time, unless it served for a while. */
export class Backoff {
  #delayMs = FIRST_MS;

  /** @param readyMs for how long the one that died was ready; `undefined` if it never was @returns the wait in ms */
  next(readyMs: number | undefined): number {
    if (readyMs !== undefined && readyMs >= FORGET_MS) this.#delayMs = FIRST_MS;
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(LONGEST_MS, 2 * delayMs);
    return delayMs;
  }
}
