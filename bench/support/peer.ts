/** The peer, onnxruntime-node, in a Node process beside this one. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Case, THREADS } from "./cases.ts";
import type { Contestant } from "./contest.ts";

/** onnxruntime-node in a process of its own, which ends with this one. */
export class Peer implements Disposable {
  readonly #child: ChildProcess;
  readonly #waiting: PromiseWithResolvers<unknown>[] = [];

  private constructor() {
    const script = fileURLToPath(new URL("./peer.mjs", import.meta.url));
    const env = { ...process.env, ORT_DISABLE_TELEMETRY: "1" };
    this.#child = spawn("node", [script], { stdio: ["pipe", "pipe", "inherit"], env });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => {
      this.#waiting.shift()?.resolve(JSON.parse(line).value);
    });
    this.#child.on("close", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("the peer ended"));
    });
  }

  /** Starts it; `undefined` where there is no Node. */
  static start(): Peer | undefined {
    return nodeVersion() === undefined ? undefined : new Peer();
  }

  /** Loads a case. */
  async open(model: Case): Promise<void> {
    await this.ask("open", { model, threads: THREADS });
  }

  /** A run of a case that was opened. */
  contestant(name: string, model: Case, given: boolean): Contestant {
    return {
      name,
      measure: async (budgetMs) => await this.ask("measure", { name: model.name, given, budgetMs }) as number[],
    };
  }

  /** Sends one message and resolves with its answer. */
  ask(command: string, options: object): Promise<unknown> {
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.push(waiting);
    this.#child.stdin!.write(JSON.stringify({ command, ...options }) + "\n");
    return waiting.promise;
  }

  [Symbol.dispose](): void {
    this.#child.stdin!.end();
  }
}

/** The version of the Node in the PATH. */
export function nodeVersion(): string | undefined {
  const found = spawnSync("node", ["--version"]);
  return found.status === 0 ? String(found.stdout).trim() : undefined;
}
