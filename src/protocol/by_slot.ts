import { SLOTS } from "./lane_layout.ts";

/**
 * Something for each of some slots. A `Map` would do, but for a collector of generations: each table that a `Map` has
 * outgrown leads to the next one, so once one of them is old, all that ever was in a later one is kept until the next
 * full collection.
 */
export class BySlot<T> {
  readonly #found: (T | undefined)[] = new Array(SLOTS).fill(undefined);
  #size = 0;

  /** How many slots have something. */
  get size(): number {
    return this.#size;
  }

  /** Gives a slot something. */
  set(slot: number, value: T): void {
    if (this.#found[slot] === undefined) this.#size++;
    this.#found[slot] = value;
  }

  /** Takes it away, if there is something. */
  delete(slot: number): void {
    if (this.#found[slot] !== undefined) this.#size--;
    this.#found[slot] = undefined;
  }

  /** Calls back for each slot that has something; what is called may take it away. */
  forEach(each: (value: T, slot: number) => void): void {
    for (let slot = 0, left = this.#size; left > 0 && slot < SLOTS; slot++) {
      const value = this.#found[slot];
      if (value === undefined) continue;
      left--;
      each(value, slot);
    }
  }

  /** Takes all away. */
  clear(): void {
    this.#found.fill(undefined);
    this.#size = 0;
  }
}
