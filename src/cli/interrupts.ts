import process from "node:process";

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** Why a command stopped: the user, or the system, said so. */
export class Interrupted extends Error {
  /** What shells expect of a program that a signal ended. */
  readonly exitCode: number;

  constructor(name: keyof typeof SIGNALS) {
    super(`interrupted by ${name}`);
    this.exitCode = 128 + SIGNALS[name];
  }
}

/** An abort signal that the system's signals abort, so that a command can clean up; a second one ends the process. */
export class Interrupts implements Disposable {
  readonly #controller = new AbortController();
  readonly #listeners = Object.keys(SIGNALS).map((key) => {
    const name = key as keyof typeof SIGNALS;
    return [name, () => this.#controller.abort(new Interrupted(name))] as const;
  });

  constructor() {
    for (const [name, listener] of this.#listeners) process.once(name, listener);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener);
  }
}
