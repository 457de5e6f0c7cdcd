import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type ClientOptions, ModelClient } from "../../src/client/mod.ts";
import { type ModelConfig, ModelWorker, type WorkerOptions } from "../../src/worker/mod.ts";

/** Models by the names that they are served as. */
export type Models = Readonly<Record<string, Uint8Array>>;

/** Long beyond what anything here takes. */
const WATCHDOG_MS = 20_000;

/** The same, or an error where it takes far too long. */
export async function soon<T>(promise: Promise<T>, what: string = "it"): Promise<T> {
  const late = Promise.withResolvers<never>();
  const watchdog = setTimeout(() => late.reject(new Error(`${what} took more than ${WATCHDOG_MS} ms`)), WATCHDOG_MS);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(watchdog);
  }
}

/** Asks time and again until the answer is yes. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  let isOver = false;
  const asking = (async () => {
    while (!isOver && !await condition()) await new Promise((resolve) => setTimeout(resolve, 1));
  })();
  try {
    await soon(asking, what);
  } finally {
    isOver = true;
  }
}

/** A folder with models' files and a place for a worker's socket. */
export class ModelFolder implements Disposable {
  readonly path: string = mkdtempSync(path.join(tmpdir(), "coload-client-"));
  readonly socket: string = path.join(this.path, "worker.sock");
  /** The files by the models' names. */
  readonly files: Readonly<Record<string, string>>;

  constructor(models: Models) {
    this.files = Object.fromEntries(
      Object.entries(models).map(([name, bytes]) => {
        const file = path.join(this.path, `${name}.onnx`);
        writeFileSync(file, bytes);
        return [name, file];
      }),
    );
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** How models are served here: what a run takes is counted from the first one on. */
export function configsOf(files: Readonly<Record<string, string>>): Record<string, ModelConfig> {
  return Object.fromEntries(Object.entries(files).map(([name, path]) => [name, { path, warmup: false }]));
}

/** A worker in this process. */
export class LocalWorker implements AsyncDisposable {
  readonly worker: ModelWorker;
  readonly #folder: ModelFolder;

  private constructor(worker: ModelWorker, folder: ModelFolder) {
    this.worker = worker;
    this.#folder = folder;
  }

  static async serve(models: Models, options: Omit<WorkerOptions, "models" | "socket"> = {}): Promise<LocalWorker> {
    const folder = new ModelFolder(models);
    try {
      const worker = await ModelWorker.serve({ models: configsOf(folder.files), socket: folder.socket, ...options });
      return new LocalWorker(worker, folder);
    } catch (error) {
      folder[Symbol.dispose]();
      throw error;
    }
  }

  get socket(): string {
    return this.#folder.socket;
  }

  connect(options?: ClientOptions): Promise<ModelClient> {
    return ModelClient.connect(this.socket, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}
