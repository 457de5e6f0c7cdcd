import process from "node:process";
import { ModelClient } from "../../client/model_client.ts";
import { WorkerError } from "../../errors.ts";
import { unlessAborted } from "../../ort/unless_aborted.ts";
import type { ClientStatus, ModelStatus, ProcessMemory, WorkerStatus } from "../../protocol/status.ts";
import { processMemory } from "../../worker/worker_status.ts";

/** For how long a worker may think about what it does, in ms. */
const ASK_MS = 2000;

/** A client, and what memory its process takes where that can be seen. */
export type SeenClient = ClientStatus & { readonly memory: ProcessMemory | undefined };

/** A model, and its requests a second since the last look, if there was one. */
export type SeenModel = ModelStatus & { readonly requestsPerSecond: number | undefined };

/** What there is at a socket. */
export type Seen =
  & { readonly socket: string }
  & (
    | { readonly status: Omit<WorkerStatus, "models" | "clients"> & SeenParts }
    /** Nobody answers, and why. */
    | { readonly problem: { readonly code: string; readonly message: string } }
  );

interface SeenParts {
  readonly models: readonly SeenModel[];
  /** Without the one that looks. */
  readonly clients: readonly SeenClient[];
}

/** Looks at the worker of a socket, again and again. */
export class Looker implements AsyncDisposable {
  readonly socket: string;
  #client: ModelClient | undefined;
  #last: { readonly status: WorkerStatus; readonly at: number } | undefined;

  constructor(socket: string) {
    this.socket = socket;
  }

  async look(): Promise<Seen> {
    const { socket } = this, late = AbortSignal.timeout(ASK_MS);
    try {
      const status = await this.#ask(late), at = performance.now(), last = this.#last;
      this.#last = { status, at };
      const seconds = last?.status.startedAt === status.startedAt ? (at - last.at) / 1000 : undefined;
      const models = status.models.map((model) => {
        const before = last?.status.models.find(({ name }) => name === model.name)?.requests;
        const isKnown = seconds !== undefined && before !== undefined;
        return { ...model, requestsPerSecond: isKnown ? (model.requests - before) / seconds : undefined };
      });
      return { socket, status: { ...status, models, clients: clientsOf(status) } };
    } catch (error) {
      await this[Symbol.asyncDispose]();
      if (error === late.reason) {
        return { socket, problem: { code: "WORKER_TIMEOUT", message: `It did not answer within ${ASK_MS} ms` } };
      }
      if (!(error instanceof WorkerError)) throw error;
      return { socket, problem: { code: error.code, message: error.message } };
    }
  }

  async #ask(late: AbortSignal): Promise<WorkerStatus> {
    const options = { timeoutMs: ASK_MS, sharedMemory: false, name: "coload ps" };
    this.#client ??= await ModelClient.connect(this.socket, options);
    return await unlessAborted(this.#client.status(), late);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.[Symbol.asyncDispose]();
  }
}

function clientsOf({ clients }: WorkerStatus): readonly SeenClient[] {
  const memories = new Map<number, ProcessMemory | undefined>();
  const memoryOf = (pid: number): ProcessMemory | undefined => {
    if (!memories.has(pid)) memories.set(pid, pid === 0 ? undefined : processMemory(pid));
    return memories.get(pid);
  };
  return clients.filter(({ pid }) => pid !== process.pid).map((client) => ({
    ...client,
    memory: memoryOf(client.pid),
  }));
}
