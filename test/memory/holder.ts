import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { startScript } from "../cli/spawn.ts";

const WATCHDOG_MS = 60_000;

/** A process that holds shared memory until it is killed: see children/holder.ts. */
export class Holder<T> implements AsyncDisposable {
  /** What the memory is called. */
  readonly ref: T;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  private constructor(ref: T, child: ChildProcess, ended: Promise<unknown>) {
    this.ref = ref;
    this.#child = child;
    this.#ended = ended;
  }

  /** Starts one, and resolves when it has its memory. */
  static async start<T>(
    what: "region" | "tensor" | "open" | "handOff",
    argument?: string | number,
  ): Promise<Holder<T>> {
    const script = new URL("./children/holder.ts", import.meta.url).pathname;
    const child = startScript(script, [what, ...(argument === undefined ? [] : [String(argument)])]);
    const watchdog = setTimeout(() => child.kill("SIGKILL"), WATCHDOG_MS), ended = once(child, "exit");
    void ended.then(() => clearTimeout(watchdog));
    let problem = "";
    child.stderr!.on("data", (chunk) => problem += chunk);
    const line = once(createInterface(child.stdout!), "line") as Promise<[string]>;
    const said = await Promise.race([line, ended.then(() => Promise.reject(new Error(`a holder ended: ${problem}`)))]);
    return new Holder<T>(JSON.parse(said[0]), child, ended);
  }

  /** Kills it, as a crash would. Resolves when nothing of it is left but what it had in shared memory. */
  async kill(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child; // whose own kill() ends its input first, on Deno
    if (exitCode === null && signalCode === null) process.kill(pid!, "SIGKILL");
    await this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
