/** Processes of either runtime that do as they are asked: one JSON message a line, and one answer to each. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onBun } from "../../cli/spawn.ts";

const PEER = fileURLToPath(new URL("./processes_peer.ts", import.meta.url));
const BUN = fileURLToPath(new URL("../../../node_modules/.bin/bun", import.meta.url));
/** Long beyond what any of them needs. */
const WATCHDOG_MS = 90_000;

/** A runtime that a process can be of. */
export type RuntimeName = "deno" | "bun";

/** Both. */
export const RUNTIMES: readonly RuntimeName[] = ["deno", "bun"];

const COMMANDS: Readonly<Record<RuntimeName, readonly [command: string, ...args: string[]]>> = {
  deno: [onBun ? "deno" : process.execPath, "run", "-A", "--quiet", "--no-lock"],
  bun: [onBun ? process.execPath : BUN, "run"],
};

/** A process that ends with its scope. */
export class Peer implements Disposable {
  readonly runtime: RuntimeName;
  readonly #process: ChildProcess;
  readonly #waiting: PromiseWithResolvers<unknown>[] = [];
  readonly #watchdog: ReturnType<typeof setTimeout>;
  /** What ended it: its exit code, or the name of a signal. */
  readonly end: Promise<number | string | null>;
  #stderr = "";

  constructor(runtime: RuntimeName, env: Readonly<Record<string, string>> = {}) {
    const [command, ...args] = COMMANDS[this.runtime = runtime];
    const child = this.#process = spawn(command, [...args, PEER], { env: { ...process.env, ...env } });
    this.#watchdog = setTimeout(() => child.kill("SIGKILL"), WATCHDOG_MS);
    child.stderr!.on("data", (chunk) => this.#stderr += chunk);
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const { value, error } = JSON.parse(line), asked = this.#waiting.shift();
      if (error === undefined) asked?.resolve(value);
      else asked?.reject(new Error(error));
    });
    this.end = new Promise((resolve) => {
      child.on("close", (code, signal) => {
        clearTimeout(this.#watchdog);
        for (const { reject } of this.#waiting.splice(0)) {
          reject(new Error(`a peer on ${runtime} ended with ${code ?? signal}: ${this.#stderr}`));
        }
        resolve(code ?? signal);
      });
    });
  }

  get pid(): number {
    return this.#process.pid!;
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
  }
}

/** Some processes, of both runtimes by turns. */
export class Peers implements Disposable {
  readonly all: readonly Peer[];

  constructor(count: number) {
    this.all = Array.from({ length: count }, (_, i) => new Peer(RUNTIMES[i % 2]!));
  }

  /** Has each of them do the same, at once. */
  ask<T>(action: string, ...args: unknown[]): Promise<T[]> {
    return Promise.all(this.all.map((peer) => peer.ask<T>(action, ...args)));
  }

  [Symbol.dispose](): void {
    for (const peer of this.all) peer[Symbol.dispose]();
  }
}

/** What a process has of a file in memory, in bytes; `shared` is its part of what all who have it have of it. */
export function mappingsOf(pid: number, file: string): { resident: number; share: number; mappings: number } {
  const sum = { resident: 0, share: 0, mappings: 0 };
  let isFile = false;
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    const [name, value] = line.split(":"), bytes = () => 1024 * Number.parseInt(value!);
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) {
      isFile = line.includes(` ${file}`);
      if (isFile) sum.mappings++;
    } else if (isFile && name === "Rss") sum.resident += bytes();
    else if (isFile && name === "Pss") sum.share += bytes();
  }
  return sum;
}
