import type { ChildProcess } from "node:child_process";
import { startScript } from "../start_script.ts";
import { type Answer, type Command, readMessages, toLine } from "./messages.ts";
import type { Seen } from "./source.ts";

/** How long a process may take to end by itself. */
const END_MS = 5000;
const SCRIPT = "./client";

/** A process that sends requests as it is told. */
export class ClientProcess implements AsyncDisposable {
  readonly #child: ChildProcess = startScript(SCRIPT, import.meta.url, ["pipe", "pipe", "inherit"]);
  readonly #ended: Promise<void>;
  #pending: PromiseWithResolvers<Answer> | undefined;
  #end: Error | undefined;
  /** What it saw last of the load it is sending. */
  seen: Seen | undefined;

  constructor(name: string) {
    const fail = (how: string): void => {
      this.#end ??= new Error(`${name} ended before its time: ${how}`);
      this.#pending?.reject(this.#end);
    };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ended = promise;
    this.#child.once("error", (error) => (fail(error.message), resolve()));
    this.#child.once("close", (code, signal) => (fail(signal ?? `exit code ${code}`), resolve()));
    this.#child.stdin!.on("error", () => {}); // it ended: "close" says how
    readMessages<Answer>(this.#child.stdout!, (answer) => {
      if ("seen" in answer) this.seen = answer.seen;
      else this.#pending?.resolve(answer);
    });
  }

  /** Resolves to the answer. One command at a time. @throws {Error} when it fails, or the process ends */
  async ask(command: Command): Promise<Answer> {
    if (this.#end !== undefined) throw this.#end;
    const pending = this.#pending = Promise.withResolvers<Answer>();
    this.tell(command);
    const answer = await pending.promise;
    if (!("error" in answer)) return answer;
    throw Object.assign(new Error(answer.error.message), { code: answer.error.code });
  }

  /** For what has no answer. */
  tell(command: Command): void {
    this.#child.stdin!.write(toLine(command));
  }

  /** The operating system's number of it. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Ends it, and resolves when it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin!.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), END_MS);
    await this.#ended;
    clearTimeout(timer);
  }
}
