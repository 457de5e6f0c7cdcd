import { wakeWord } from "../../ffi/futex.ts";
import { ffi } from "../../ffi/mod.ts";
import { offset } from "../../ffi/native_memory.ts";
import { WorkerError } from "../errors.ts";
import { PAGE, PAGE_BYTE_LENGTH } from "../protocol/lane_layout.ts";
import { remoteError } from "../protocol/remote_error.ts";
import type { Board } from "./board/board.ts";
import type { FromExecutor, ToExecutor } from "./executor/messages.ts";

/** What an executor tells of requests for which joining is to be proven. */
export type Unproven = Extract<FromExecutor, { readonly kind: "unproven" }>;

/** Where executors find what they share. */
export interface ExecutorMemory {
  readonly board: bigint;
  readonly page: bigint;
  readonly statistics: bigint;
}

/** What becomes of executors. */
export interface ExecutorEvents {
  /** Requests wait for a model that is not loaded. */
  wanted(model: number): void;
  /** Requests of a kind for which joining was not proven yet. */
  unproven(unproven: Unproven): void;
  /** A thread failed, which is a mistake of Coload's: what it had taken is never answered. */
  failed(error: WorkerError): void;
}

/** The threads that run models, from the worker's side. */
export class Executors {
  readonly count: number;
  readonly #board: Board;
  readonly #page: Int32Array;
  readonly #memory: ExecutorMemory;
  readonly #events: ExecutorEvents;
  readonly #threads: Worker[] = [];
  #failure: WorkerError | undefined;
  readonly #waiting = new Set<
    { readonly sees: (message: FromExecutor, index: number) => void; fail(error: Error): void }
  >();

  private constructor(count: number, board: Board, memory: ExecutorMemory, events: ExecutorEvents) {
    this.count = count;
    this.#board = board;
    this.#memory = memory;
    this.#events = events;
    this.#page = new Int32Array(ffi.view(offset({ address: memory.page }, 0), PAGE_BYTE_LENGTH));
  }

  /** Starts so many threads. @throws {WorkerError} when one cannot be started */
  static async start(count: number, board: Board, memory: ExecutorMemory, events: ExecutorEvents): Promise<Executors> {
    const executors = new Executors(count, board, memory, events);
    const started = executors.#all((message) => message.kind === "started");
    for (let index = 0; index < count; index++) executors.#startThread(index);
    await started;
    return executors;
  }

  #startThread(index: number): void {
    const thread = new Worker(new URL("./executor/main.ts", import.meta.url), { type: "module" });
    thread.onmessage = ({ data }: MessageEvent<FromExecutor>) => {
      if (data.kind === "awake") this.#tellStart(thread, index);
      else if (data.kind === "wanted") this.#events.wanted(data.model);
      else if (data.kind === "unproven") this.#events.unproven(data);
      for (const { sees } of [...this.#waiting]) sees(data, index);
    };
    thread.onerror = (event) => {
      event.preventDefault?.();
      this.#failure ??= new WorkerError("WORKER_DIED", `A thread of the worker failed: ${event.message}`);
      this.#events.failed(this.#failure);
      for (const { fail } of [...this.#waiting]) fail(this.#failure);
    };
    this.#threads.push(thread);
  }

  #tellStart(thread: Worker, index: number): void {
    const { board, page, statistics } = this.#memory;
    thread.postMessage({ kind: "start", index, executors: this.count, board, page, statistics } satisfies ToExecutor);
  }

  /** Tells all of them, which see it at the next turn of their event loops. */
  tell(message: ToExecutor): void {
    this.#board.noteTold();
    for (const thread of this.#threads) thread.postMessage(message);
    this.wake();
  }

  /** Tells all of them, and resolves when each has answered so. Rejects with the first failure told of the same model. */
  async ask(
    message: Extract<ToExecutor, { readonly kind: "load" | "unload" }>,
    kind: "loaded" | "unloaded",
  ): Promise<void> {
    const { model, epoch } = message;
    const done = this.#all((found) => {
      if (found.kind !== kind && found.kind !== "failed") return false;
      if (found.model !== model || found.epoch !== epoch) return false;
      if (found.kind === "failed") throw remoteError(found.error);
      return true;
    });
    this.tell(message);
    await done;
  }

  /** Resolves when none of them uses what was gone before. */
  async turned(): Promise<void> {
    const control = this.#board.changeControl();
    const turned = this.#all((_, index) => (this.#board.runs.turnOf(index) - control | 0) >= 0);
    this.#ring();
    await turned;
  }

  /** Has all of them give their event loops a turn. */
  wake(): void {
    this.#board.changeControl();
    this.#ring();
  }

  /** Ends them, once each is through with what it does. */
  async stop(): Promise<void> {
    const stopped = this.#all((message) => message.kind === "stopped");
    this.tell({ kind: "stop" });
    await stopped;
    this.terminate();
  }

  /** Ends them at once, whatever they do: what they use must stay. */
  terminate(): void {
    for (const thread of this.#threads) thread.terminate();
  }

  #ring(): void {
    Atomics.add(this.#page, PAGE.doorbell, 1);
    wakeWord(offset({ address: this.#memory.page }, 0), this.count);
  }

  /** Resolves when each of them has told what is wanted. */
  #all(isWanted: (message: FromExecutor, index: number) => boolean): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    const { promise, resolve, reject } = Promise.withResolvers<void>(), seen = new Set<number>();
    const waiting = {
      sees: (message: FromExecutor, index: number): void => {
        try {
          if (isWanted(message, index)) seen.add(index);
        } catch (error) {
          this.#waiting.delete(waiting);
          reject(error);
        }
        if (seen.size < this.count) return;
        this.#waiting.delete(waiting);
        resolve();
      },
      fail: (error: Error): void => {
        this.#waiting.delete(waiting);
        reject(error);
      },
    };
    this.#waiting.add(waiting);
    return promise;
  }
}
