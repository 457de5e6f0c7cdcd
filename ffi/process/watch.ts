import { submitter } from "./pool.ts";

/** Calls within so many ms of each other are a loop that awaits one after the other. */
const LOOP_MS = 0.2;
/** How often an idle thread of the pool looks for the next request of such a loop before it sleeps: about 100 us. */
const POOL_LOOKS = 2000;
/** Calls that are seen to end before the event loop gets a turn all the same. */
const CALLS_PER_TURN = 64;
/** Calls that are not watched after some that were in vain: more each time, as on a machine that is busy. */
const FIRST_PAUSE = 8, LONGEST_PAUSE = 8192;
/** Calls in vain, one after the other, before a pause. */
const MISSES = 2;

/**
 * Decides when to look for the end of a call instead of sleeping until its message comes: in a loop of short calls, where
 * two sleeping threads take longer to wake each other than the call takes. It is never done with a single core, nor
 * beside other calls in flight, and costs 10 us where it turns out to be in vain.
 */
export class Watch {
  readonly #possible = navigator.hardwareConcurrency > 1;
  #last = 0;
  #sinceTurn = 0;
  #misses = 0;
  #armed = false;
  #pause = 0;
  #nextPause = FIRST_PAUSE;

  /** Whether to watch the call that begins now. */
  worthwhile(pending: number): boolean {
    if (!this.#possible) return false;
    const now = performance.now(), inLoop = now - this.#last < LOOP_MS;
    this.#last = now;
    if (this.#pause > 0) this.#pause--;
    const isOn = inLoop && this.#pause === 0, wasArmed = this.#armed;
    submitter().looks[0] = isOn ? POOL_LOOKS : 0; // after the call that begins now: the next one finds somebody looking
    this.#armed = isOn;
    return isOn && wasArmed && pending === 0 && this.#sinceTurn < CALLS_PER_TURN;
  }

  /** Notes whether a watched call was seen to end. */
  note(seen: boolean): void {
    this.#sinceTurn++;
    this.#last = performance.now();
    if (seen) {
      this.#misses = 0;
      this.#nextPause = Math.max(FIRST_PAUSE, this.#nextPause >> 1);
    } else if (++this.#misses >= MISSES) {
      this.#misses = 0;
      this.#pause = this.#nextPause;
      this.#nextPause = Math.min(LONGEST_PAUSE, this.#nextPause * 2);
      submitter().looks[0] = 0;
      this.#armed = false;
    }
  }

  /** Notes that the event loop has had a turn. */
  turned(): void {
    this.#sinceTurn = 0;
    this.#last = performance.now();
  }
}
