import { createInterface } from "node:readline";
import { clearTimeout, setTimeout } from "node:timers";
import type { WorkerOptions } from "../../worker/worker_options.ts";
import { type FromWorker, readMessages, toLine, type ToWorker } from "./messages.ts";
import { startScript } from "../start_script.ts";

/** For how long what a process said last may take to arrive after its end, in ms. */
const LAST_WORDS_MS = 500;

/** How a process ended. */
export interface End {
  readonly pid: number | undefined;
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** Why it could not serve. */
  readonly failure: { readonly code?: string; readonly message: string } | undefined;
  /** For how long it was ready, in ms; `undefined` if it never was. */
  readonly readyMs: number | undefined;
}

/** How a worker is started. */
export interface StartOptions {
  readonly options: WorkerOptions;
  readonly showsProgress: boolean;
  /** Is given the lines that the process writes for people; otherwise it writes them itself. */
  readonly onOutput: ((line: string) => void) | undefined;
}

/** What is heard of a worker's process. */
export type Heard = Exclude<FromWorker, { readonly failed: unknown }>;

/** The process of a worker. It ends with this one. */
export class WorkerProcess {
  readonly #child;
  #failure: End["failure"];
  #readyAt: number | undefined;
  /** Resolves when it has ended, whatever ended it. */
  readonly ended: Promise<End>;

  constructor({ options, showsProgress, onOutput }: StartOptions, onMessage: (message: Heard) => void) {
    const child = this.#child = startScript("./worker", import.meta.url, [
      "pipe",
      "pipe",
      onOutput === undefined ? "inherit" : "pipe",
    ]);
    child.stdin!.on("error", () => {}); // it ended: "exit" says how
    const said = (message: FromWorker): void => {
      if ("failed" in message) return void (this.#failure = message.failed);
      if ("ready" in message) this.#readyAt = performance.now();
      onMessage(message);
    };
    const onOther = onOutput ?? ((line: string) => console.error(line));
    readMessages<FromWorker>(child.stdout!, { onMessage: said, onOther });
    if (onOutput !== undefined) createInterface({ input: child.stderr! }).on("line", onOutput);
    this.ended = this.#end();
    this.tell({ serve: options, showsProgress });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  tell(message: ToWorker): void {
    this.#child.stdin!.write(toLine(message));
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #end(): Promise<End> {
    const child = this.#child, { promise, resolve } = Promise.withResolvers<End>();
    const done = (exitCode: number | null, signal: string | null): void => {
      const readyMs = this.#readyAt === undefined ? undefined : performance.now() - this.#readyAt;
      resolve({ pid: child.pid, exitCode, signal, failure: this.#failure, readyMs });
    };
    child.once("error", (error) => {
      this.#failure ??= { message: error.message };
      done(null, null);
    });
    child.once("exit", (code, signal) => {
      const late = setTimeout(() => done(code, signal), LAST_WORDS_MS);
      child.once("close", () => (clearTimeout(late), done(code, signal)));
    });
    return promise;
  }
}
