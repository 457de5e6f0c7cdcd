import { unlessAborted } from "../../ort/unless_aborted.ts";
import { ClientProcess } from "./client_process.ts";
import type { Load } from "./load.ts";
import type { RequestOptions } from "./local_source.ts";
import type { Answer, Command } from "./messages.ts";
import { Recording } from "./recording.ts";
import type { Seen, Source } from "./source.ts";
import type { Target } from "../open_model.ts";

/** What one of so many processes sends of a load: all its concurrency, and its part of the requests and arrivals. */
export function partOf(load: Load, index: number, count: number): Load {
  const { requests, arrivals } = load;
  return {
    ...load,
    ...(requests !== undefined && { requests: Math.floor(requests / count) + (index < requests % count ? 1 : 0) }),
    ...(arrivals && {
      arrivals: { firstMs: arrivals.firstMs + index * arrivals.everyMs, everyMs: count * arrivals.everyMs },
    }),
  };
}

/** Requests from processes of their own, each with its own connection. */
export class ClientProcesses implements Source {
  readonly #clients: readonly ClientProcess[];
  /** Whether `seen` is looked at. */
  readonly #watched: boolean;

  private constructor(clients: readonly ClientProcess[], watched: boolean) {
    this.#clients = clients;
    this.#watched = watched;
  }

  /** @throws as `LocalSource.open`, and {Error} when a process ends */
  static async open(
    target: Target,
    options: RequestOptions,
    { count, watched, signal }: { readonly count: number; readonly watched: boolean; readonly signal: AbortSignal },
  ): Promise<ClientProcesses> {
    const clients = Array.from({ length: count }, (_, i) => new ClientProcess(`client ${i + 1} of ${count}`));
    const source = new ClientProcesses(clients, watched);
    try {
      await unlessAborted(source.#askAll(() => ({ open: target, options })), signal);
      return source;
    } catch (error) {
      await source[Symbol.asyncDispose]();
      throw error;
    }
  }

  #askAll(command: (index: number) => Command): Promise<Answer[]> {
    return Promise.all(this.#clients.map((client, i) => client.ask(command(i))));
  }

  /** The processes' numbers. */
  get pids(): readonly (number | undefined)[] {
    return this.#clients.map(({ pid }) => pid);
  }

  async send(load: Load, signal: AbortSignal): Promise<Recording> {
    const stop = (): void => this.#clients.forEach((client) => client.tell({ stop: true }));
    for (const client of this.#clients) client.seen = undefined;
    signal.addEventListener("abort", stop);
    try {
      const recording = new Recording();
      const sent = this.#askAll((i) => ({ send: partOf(load, i, this.#clients.length), tell: this.#watched }));
      if (signal.aborted) stop();
      for (const answer of await sent) if ("recording" in answer) recording.add(answer.recording);
      return recording;
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  get seen(): Seen {
    const all = this.#clients.flatMap(({ seen }) => seen ?? []);
    return {
      successes: all.reduce((sum, { successes }) => sum + successes, 0),
      errors: all.reduce((sum, { errors }) => sum + errors, 0),
      p99: Math.max(0, ...all.map(({ p99 }) => p99)),
    };
  }

  /** Ends the processes, and resolves when they have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client[Symbol.asyncDispose]()));
  }
}
