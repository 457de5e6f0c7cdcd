import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type ClientOptions, ModelClient } from "../../src/client/mod.ts";
import { commandOf, OWN, type Runtime } from "../memory/peers/peer.ts";
import { ModelFolder, type Models, until } from "./support.ts";

const SCRIPT = fileURLToPath(new URL("children/worker.ts", import.meta.url));
/** Long beyond what any worker of a test lives. */
const WATCHDOG_MS = 120_000;

/** A worker in a process of its own, which can be killed and started again. It has one executor unless more are wanted. */
export class WorkerProcess implements AsyncDisposable {
  readonly #folder: ModelFolder;
  readonly #runtime: Runtime;
  readonly #executors: number;
  #child: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  private constructor(folder: ModelFolder, runtime: Runtime, executors: number) {
    this.#folder = folder;
    this.#runtime = runtime;
    this.#executors = executors;
  }

  /** One that is not started yet. */
  static prepare(models: Models, { runtime = OWN, executors = 1 } = {}): WorkerProcess {
    return new WorkerProcess(new ModelFolder(models), runtime, executors);
  }

  /** Starts one, and resolves when it answers. */
  static async start(models: Models, options?: { runtime?: Runtime; executors?: number }): Promise<WorkerProcess> {
    const worker = WorkerProcess.prepare(models, options);
    await worker.start();
    return worker;
  }

  /** Starts it, also after it was killed. */
  async start(): Promise<void> {
    const [program, ...args] = commandOf(this.#runtime, SCRIPT);
    const child = spawn(program!, [...args, this.socket, this.#folder.path, String(this.#executors)]);
    const watchdog = setTimeout(() => child.kill("SIGKILL"), WATCHDOG_MS), ended = once(child, "exit");
    this.#child = child;
    this.#ended = ended.then(() => clearTimeout(watchdog));
    let problem = "";
    child.stderr!.on("data", (chunk) => problem += chunk);
    const line = once(createInterface(child.stdout!), "line");
    await Promise.race([line, ended.then(() => Promise.reject(new Error(`The worker ended: ${problem}`)))]);
  }

  get socket(): string {
    return this.#folder.socket;
  }

  get pid(): number {
    return this.#child!.pid!;
  }

  connect(options?: ClientOptions): Promise<ModelClient> {
    return ModelClient.connect(this.socket, options);
  }

  /** Sends it a signal. */
  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    const { exitCode, signalCode, pid } = this.#child!; // whose own kill() ends its input first, on Deno
    if (exitCode === null && signalCode === null) process.kill(pid!, name);
  }

  /** Stops it, and resolves when none of its threads runs any more. */
  async pause(): Promise<void> {
    this.signal("SIGSTOP");
    const tasks = `/proc/${this.pid}/task`,
      isStopped = (task: string): boolean => /^State:\s+T/m.test(readFileSync(`${tasks}/${task}/status`, "utf8"));
    await until(() => readdirSync(tasks).every(isStopped), "the worker's stop");
  }

  /** Kills it, as a crash would. Resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.#child !== undefined) this.signal("SIGKILL");
    await this.#ended;
  }

  /** Lets it end, as one does that is disposed of. */
  async end(): Promise<void> {
    this.#child!.stdin!.end();
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.#folder[Symbol.dispose]();
  }
}
