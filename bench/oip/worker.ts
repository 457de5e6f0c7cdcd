/** A worker in a process of its own that answers HTTP. */
import type { ModelConfig } from "../../src/worker/model_config.ts";
import { type Case, THREADS } from "../support/cases.ts";
import { Child } from "../support/child.ts";
import type { ScratchFolder } from "../support/ending.ts";
import { type Server, serverOf } from "./requests.ts";

/** A worker, whose process ends with its scope. */
export class HttpWorker implements Disposable {
  readonly child: Child;
  /** Where it answers. */
  readonly server: Server;

  private constructor(child: Child, server: Server) {
    this.child = child;
    this.server = server;
  }

  /** Serves cases under their names, and memory that callers name. */
  static async start(folder: ScratchFolder, cases: readonly Pick<Case, "name" | "path">[]): Promise<HttpWorker> {
    const child = new Child(new URL("../children/oip_worker.ts", import.meta.url));
    const config = (path: string): ModelConfig => ({ path, session: { intraOpNumThreads: THREADS }, warmup: true });
    const models = Object.fromEntries(cases.map(({ name, path }) => [name, config(path)]));
    const http = { listen: "127.0.0.1:0", allowClientSharedMemory: true };
    const url = await child.ask<string>("serve", { models, socket: folder.join("worker"), http });
    return new HttpWorker(child, serverOf(url));
  }

  [Symbol.dispose](): void {
    this.child[Symbol.dispose]();
  }
}
