/**
 * The process of a worker that `coload serve` looks after. Importing it runs nothing.
 *
 * @module
 */
import process from "node:process";
import { models as registry } from "../../registry/model_registry.ts";
import { ModelWorker } from "../../worker/model_worker.ts";
import type { WorkerOptions } from "../../worker/worker_options.ts";
import { PhaseBar } from "../progress.ts";
import { type FromWorker, readMessages, toLine, type ToWorker } from "./messages.ts";
import { ModelChanges } from "./model_changes.ts";

/** For how long requests in flight may go on when whoever looked after the process is gone, in ms. */
const ORPHAN_MS = 5000;

/** Serves as it is told on its standard input, until that ends. */
class ToldWorker {
  #worker: ModelWorker | undefined;
  #changes: ModelChanges | undefined;
  #isEnding = false;

  obey(message: ToWorker): void {
    if ("serve" in message) void this.#serve(message.serve, message.showsProgress);
    else if ("reload" in message) void this.#reload();
    else void this.end();
  }

  /** Answers what is in flight, and ends the process: with 0, since it was told to. */
  async end(): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    await this.#worker?.[Symbol.asyncDispose]();
    process.exit(0);
  }

  async #serve(options: WorkerOptions, showsProgress: boolean): Promise<void> {
    const begin = performance.now();
    try {
      await using loaded = new AsyncDisposableStack();
      if (showsProgress) await load(options, loaded);
      this.#worker = await ModelWorker.serve(options);
    } catch (error) {
      return await this.#fail(error as Error);
    }
    void this.#worker.failed.then((error) => this.#fail(error));
    this.#changes = new ModelChanges(this.#worker, (changed) => void say({ changed }));
    const { endpoints } = this.#worker, elapsedMs = performance.now() - begin;
    await say({ ready: { models: Object.keys(options.models), ...endpoints, elapsedMs } });
  }

  /** Says why it cannot serve, and ends the process. */
  async #fail({ code, message }: Error & { readonly code?: string }): Promise<never> {
    await say({ failed: { ...(code !== undefined && { code }), message } });
    process.exit(1);
  }

  async #reload(): Promise<void> {
    if (await this.#changes?.reload() === false) await say({ unchanged: true });
  }
}

/** Loads the models one after the other, each behind a bar: the worker then finds them in the process's registry. */
async function load({ models, maxMemoryBytes }: WorkerOptions, loaded: AsyncDisposableStack): Promise<void> {
  if (maxMemoryBytes !== undefined) registry.configure({ maxMemoryBytes });
  for (const config of Object.values(models)) {
    const { path, session } = typeof config === "string" ? { path: config } : config;
    using bar = new PhaseBar(path);
    loaded.use(await registry.load(path, { ...session, ttlMs: 0, onProgress: (progress) => bar.update(progress) }));
  }
}

function say(message: FromWorker): Promise<void> {
  return new Promise((resolve) => process.stdout.write(toLine(message), () => resolve()));
}

/** Serves as it is told on its standard input. When that ends, nobody looks after it, and it ends too. */
export function serveAsTold(): void {
  const worker = new ToldWorker();
  for (const name of ["SIGINT", "SIGHUP"] as const) process.on(name, () => {}); // a terminal sends them to all its processes
  process.on("SIGTERM", () => {
    void say({ draining: true });
    void worker.end();
  });
  process.stdout.on("error", () => {}); // nobody listens: its input ends, too
  readMessages<ToWorker>(process.stdin, {
    onMessage: (message) => worker.obey(message),
    onEnd() {
      setTimeout(() => process.exit(1), ORPHAN_MS).unref();
      void worker.end();
    },
  });
}

if (import.meta.main) serveAsTold();
