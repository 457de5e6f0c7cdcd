/** A worker in a process of its own, and a client in this one. */
import { type ClientOptions, ModelClient } from "../../src/client/model_client.ts";
import type { WorkerStatus } from "../../src/protocol/status.ts";
import type { ModelConfig } from "../../src/worker/model_config.ts";
import { Child } from "../support/child.ts";
import { type Case, THREADS } from "../support/cases.ts";
import type { ScratchFolder } from "../support/ending.ts";

/** What a worker makes of a case beside its defaults. */
export type Extra = Omit<ModelConfig, "path">;

/** A worker, whose process ends with its scope. */
export class WorkerProcess implements Disposable {
  readonly child: Child;
  readonly socket: string;

  /** A process without a worker yet, which will listen at a name in the folder. */
  constructor(folder: ScratchFolder, name: string) {
    this.child = new Child(new URL("../children/lane_worker.ts", import.meta.url));
    this.socket = folder.join(name);
  }

  /** Serves cases under their names. */
  async serve(cases: readonly Pick<Case, "name" | "path">[], extra: Extra = {}): Promise<this> {
    const models = Object.fromEntries(cases.map(({ name, path }) => [
      name,
      { path, session: { intraOpNumThreads: THREADS }, warmup: true, ...extra },
    ]));
    await this.child.ask("serve", { models, socket: this.socket });
    return this;
  }

  /** What it is doing. */
  status(): Promise<WorkerStatus> {
    return this.child.ask("status");
  }

  /** Connects this process with it. */
  connect(options: ClientOptions = {}): Promise<ModelClient> {
    return ModelClient.connect(this.socket, options);
  }

  [Symbol.dispose](): void {
    this.child[Symbol.dispose]();
  }
}

/** Processes that end with their scope, are connected with workers, and have questions about models. */
export async function startClients(
  count: number,
  { workers, cases, closing, options = {} }: {
    readonly workers: readonly { readonly socket: string }[];
    readonly cases: readonly Case[];
    readonly closing: DisposableStack;
    readonly options?: ClientOptions;
  },
): Promise<Child[]> {
  const script = new URL("../children/lane_client.ts", import.meta.url);
  const clients = Array.from({ length: count }, () => closing.use(new Child(script)));
  await Promise.all(clients.map(async (client, i) => {
    for (const model of cases) await client.ask("prepare", model, i + 1);
    for (const { socket } of workers) await client.ask("connect", socket, options);
  }));
  return clients;
}
