import process from "node:process";

/** Numbers of the signals that end a service. */
const NUMBERS = { SIGINT: 2, SIGTERM: 15 } as const;

type StopSignal = keyof typeof NUMBERS;

/** What the system's signals ask of a service. */
export interface StopEvents {
  /** The first of those that end it. */
  stop(signal: StopSignal): void;
  /** A further one. */
  kill(): void;
  reload(): void;
}

/** Hears the system's signals. */
export class StopSignals implements Disposable {
  readonly #controller = new AbortController();
  readonly #listeners: readonly (readonly [NodeJS.Signals, () => void])[];
  #exitCode: number | undefined;

  constructor(events: StopEvents) {
    const stop = (name: StopSignal) => (): void => {
      if (this.#exitCode !== undefined) {
        this.#exitCode = 128 + NUMBERS[name];
        return events.kill();
      }
      this.#exitCode = name === "SIGTERM" ? 0 : 128 + NUMBERS[name];
      this.#controller.abort();
      events.stop(name);
    };
    this.#listeners = [["SIGINT", stop("SIGINT")], ["SIGTERM", stop("SIGTERM")], ["SIGHUP", () => events.reload()]];
    for (const [name, listener] of this.#listeners) process.on(name, listener);
  }

  /** Aborts at the first signal that ends the service. */
  get stopping(): AbortSignal {
    return this.#controller.signal;
  }

  /** What to end with: 0 after SIGTERM, which asks for an end in order; `undefined` as long as nothing asks for an end. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  [Symbol.dispose](): void {
    for (const [name, listener] of this.#listeners) process.off(name, listener);
  }
}
