/** A worker as `coload serve` runs it: started again when it dies. */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { ModelClient } from "../../src/client/model_client.ts";
import type { WorkerStatus } from "../../src/protocol/status.ts";
import type { Case } from "../support/cases.ts";
import { RUN_SCRIPT } from "../support/child.ts";
import { atEnd, type ScratchFolder } from "../support/ending.ts";

const PATIENCE_MS = 30_000, LOOK_MS = 50;

/** `coload serve` of one model, which ends with its scope, and its worker with it. */
export class Supervised implements AsyncDisposable {
  readonly socket: string;
  readonly #process: ChildProcess;
  readonly #forget: () => void;

  private constructor(socket: string, child: ChildProcess) {
    this.socket = socket;
    this.#process = child;
    this.#forget = atEnd(() => child.kill("SIGTERM"));
  }

  /** Starts it, and resolves when the worker answers. */
  static async start(folder: ScratchFolder, { name, path }: Case): Promise<Supervised> {
    const socket = folder.join("supervised"), script = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
    const args = [...RUN_SCRIPT, script, "serve", `${name}=${path}`, "--socket", socket];
    const supervised = new Supervised(
      socket,
      spawn(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] }),
    );
    for (const end = performance.now() + PATIENCE_MS;;) {
      try {
        if ((await supervised.status()).state !== "starting") return supervised;
      } catch (error) {
        if (performance.now() > end || supervised.#process.exitCode !== null) throw error;
      }
      await wait(LOOK_MS);
    }
  }

  /** What the worker does that serves now. */
  async status(): Promise<WorkerStatus> {
    await using client = await ModelClient.connect(this.socket);
    return await client.status();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#forget();
    if (this.#process.exitCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once("close", resolve));
    this.#process.kill("SIGTERM");
    await ended;
  }
}
