/** Ways to time what cannot be called over and over as it is: what must be made ready, or undone, or takes long. */
import { measure } from "mitata";
import type { Contestant } from "./contest.ts";

/**
 * Times calls, so many together, of what is made ready for each of them while the clock is not running.
 *
 * @param batch a multiple of 4: mitata calls in fours, and would have nothing ready for the rest
 */
export function prepared<T>(
  name: string,
  batch: number,
  prepare: () => T,
  call: (ready: T) => unknown,
  end: () => void = () => {},
): Contestant {
  const batches = { batch_samples: batch, batch_threshold: Infinity, warmup_threshold: Infinity };
  return {
    name,
    async measure(budgetMs: number): Promise<number[]> {
      const options = { gc: false, min_cpu_time: budgetMs * 1e5, min_samples: 8, max_samples: 40, ...batches } as const;
      const { samples } = await measure(function* () {
        yield { 0: prepare, bench: (ready: T) => call(ready) }; // a function without a parameter is given nothing
      }, options);
      end();
      return samples;
    },
  };
}

/** Times calls, so many together, and undoes what they did while the clock is not running. */
export function undone<T>(name: string, batch: number, make: () => T, undo: (made: T) => void): Contestant {
  const made: T[] = [], end = (): void => made.splice(0).forEach(undo);
  return prepared(name, batch, end, () => made.push(make()), end);
}

/** Times each of a few calls by itself: for those that take long, or whose turns at the event loop count. */
export function each(name: string, calls: number, call: () => unknown): Contestant {
  return {
    name,
    async measure(): Promise<number[]> {
      const found: number[] = [];
      while (found.length < calls) {
        const started = performance.now(), result = call();
        if (result instanceof Promise) await result;
        found.push((performance.now() - started) * 1e6);
      }
      return found;
    },
  };
}

/**
 * What a call takes with its share of what the collector does for it, which a median never sees: the mean of many, few
 * of which are there at once. What it did is undone while the clock is not running.
 */
export function onAverage<T>(name: string, make: () => T, undo: (made: T) => void): Contestant {
  return {
    name,
    measure(): Promise<number[]> {
      let ms = 0;
      for (let group = 0; group < 32; group++) {
        const made: T[] = [], started = performance.now();
        while (made.length < 8) made.push(make());
        ms += performance.now() - started;
        made.forEach(undo);
      }
      return Promise.resolve([ms * 1e6 / 256]);
    },
  };
}
