import { unlessAborted } from "../ort/unless_aborted.ts";

/** Who waits until somebody else is through, in the order of their coming. */
export class Turns {
  readonly #waiting: (() => void)[] = [];

  /** Waits for a turn, which is then to be passed on. @throws the signal's reason, and is in nobody's way any more */
  async wait(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    try {
      await unlessAborted(promise, signal);
    } catch (error) {
      const at = this.#waiting.indexOf(resolve);
      if (at >= 0) this.#waiting.splice(at, 1);
      else this.pass();
      throw error;
    }
  }

  /** Gives the next one its turn. */
  pass(): void {
    if (this.#waiting.length > 0) this.#waiting.shift()!();
  }

  /** Gives all of them theirs: there is nothing to wait for any more. */
  end(): void {
    this.#waiting.splice(0).forEach((turn) => turn());
  }
}
