import { readdirSync } from "node:fs";

const MOST_MS = 15_000, LOOK_MS = 10;

/** The names in /dev/shm of what Coload made, in any process: tests that run beside these have theirs too. */
export class RegionNames {
  readonly #before = new Set(namesNow());

  /** Resolves when all that came since and is there now has gone. @throws {Error} with the names, if it does not go */
  async gone(): Promise<void> {
    const come = namesNow().filter((name) => !this.#before.has(name));
    for (const end = performance.now() + MOST_MS;;) {
      const names = new Set(namesNow()), left = come.filter((name) => names.has(name));
      if (left.length === 0) return;
      if (performance.now() > end) throw new Error(`Left in /dev/shm: ${left.join(", ")}`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
}

function namesNow(): string[] {
  return readdirSync("/dev/shm").filter((name) => name.startsWith("coload"));
}
