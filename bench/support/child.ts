/** Processes of either runtime that do as they are asked: one JSON message a line, and one answer to each. */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { atEnd } from "./ending.ts";

/** How this process runs a script. */
export const RUN_SCRIPT: readonly string[] = process.versions.bun ? ["run"] : ["run", "-A", "--quiet"];

/** A runtime that a process can be of. */
export type RuntimeName = "deno" | "bun";

/** Both, this one first. */
export const RUNTIMES: readonly RuntimeName[] = process.versions.bun ? ["bun", "deno"] : ["deno", "bun"];

const OTHER: Readonly<Record<RuntimeName, readonly [command: string, ...args: string[]]>> = {
  deno: ["deno", "run", "-A", "--quiet"],
  bun: [fileURLToPath(new URL("../../node_modules/.bin/bun", import.meta.url)), "run"],
};

/** What a child can be asked for, by name. */
// deno-lint-ignore no-explicit-any -- what travels is checked by nobody: both ends are in this folder
export type Actions = Readonly<Record<string, (...args: any[]) => unknown>>;

interface Answer {
  readonly value?: unknown;
  readonly error?: string;
}

/** Answers what the parent asks for, until it is gone. For the child. */
export async function answer(actions: Actions): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    const [action, ...args] = JSON.parse(line);
    const answer: Answer = await Promise.try(actions[action]!, ...args).then(
      (value) => ({ value }),
      (error) => ({ error: String(error?.stack ?? error) }),
    );
    console.log(JSON.stringify(answer));
  }
  process.exit();
}

/** A process that ends with its scope, or with this one. */
export class Child implements Disposable {
  readonly #process: ChildProcess;
  readonly #waiting: PromiseWithResolvers<unknown>[] = [];
  readonly #forget: () => void;

  /**
   * @param script what calls {@linkcode answer}
   * @param runtime what runs it: this one by default
   */
  constructor(script: URL, runtime: RuntimeName = RUNTIMES[0]!) {
    const [command, ...args] = runtime === RUNTIMES[0] ? [process.execPath, ...RUN_SCRIPT] as const : OTHER[runtime];
    const child = this.#process = spawn(command, [...args, fileURLToPath(script)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#forget = atEnd(() => child.kill("SIGKILL"));
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const { value, error }: Answer = JSON.parse(line), asked = this.#waiting.shift();
      if (error === undefined) asked?.resolve(value);
      else asked?.reject(new Error(error));
    });
    child.on("error", (error) => this.#fail(error));
    child.on("close", (code, signal) => this.#fail(new Error(`${script} on ${runtime} ended with ${code ?? signal}`)));
  }

  /** Has it do something, and resolves with what that returns. */
  ask<T>(action: string, ...args: unknown[]): Promise<T> {
    const asked = Promise.withResolvers<unknown>();
    this.#waiting.push(asked);
    this.#process.stdin!.write(JSON.stringify([action, ...args]) + "\n");
    return asked.promise as Promise<T>;
  }

  [Symbol.dispose](): void {
    this.#process.kill("SIGKILL");
    this.#forget();
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
