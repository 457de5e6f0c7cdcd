import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ClientOptions, ModelClient } from "../../src/client/mod.ts";
import type { ModelStatus, WorkerStatus } from "../../src/protocol/status.ts";
import { type ModelConfig, ModelWorker } from "../../src/worker/mod.ts";

/** A real model. */
export const SILERO =
  new URL("../../node_modules/@ricky0123/vad-web/dist/silero_vad_v5.onnx", import.meta.url).pathname;

/** A folder with a socket's path and model files, which goes at the end. */
export class Place implements Disposable {
  readonly folder: string = mkdtempSync(path.join(tmpdir(), "coload-worker-"));
  readonly socket: string = path.join(this.folder, "worker.sock");

  /** Writes a model's file. */
  file(name: string, bytes: Uint8Array): string {
    const file = path.join(this.folder, name);
    writeFileSync(file, bytes);
    return file;
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** A worker in this process, with a client. */
export async function serve(
  place: Place,
  models: Readonly<Record<string, string | ModelConfig>>,
  options: { executors?: number; client?: ClientOptions } = {},
): Promise<{ worker: ModelWorker; client: ModelClient } & AsyncDisposable> {
  const { executors } = options;
  const worker = await ModelWorker.serve({ models, socket: place.socket, ...(executors && { executors }) });
  const client = await ModelClient.connect(place.socket, options.client);
  return {
    worker,
    client,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await worker[Symbol.asyncDispose]();
    },
  };
}

/** A model's status. */
export function modelOf(worker: ModelWorker, name: string): ModelStatus {
  return worker.status().models.find((model) => model.name === name)!;
}

/** Waits until a worker's status is as wanted: it has no event for that. */
export async function until(worker: ModelWorker, isSo: (status: WorkerStatus) => boolean): Promise<WorkerStatus> {
  for (const end = performance.now() + 20_000;; await sleep(5)) {
    const status = worker.status();
    if (isSo(status)) return status;
    if (performance.now() > end) throw new Error(`the worker never came to be so: ${JSON.stringify(status, null, 1)}`);
  }
}
