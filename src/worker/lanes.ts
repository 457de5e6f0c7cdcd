import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { ffi } from "../../ffi/mod.ts";
import { socketPair } from "../../ffi/unix_socket.ts";
import { WorkerError } from "../errors.ts";
import { ort } from "../ort/environment.ts";
import { check } from "../ort/status.ts";
import {
  HEAP_OFFSET,
  initLane,
  LANE,
  LANE_BYTE_LENGTH,
  MOST_CLIENTS,
  SLOT,
  SLOTS,
  slotWord,
} from "../protocol/lane_layout.ts";
import type { Attendant } from "./attendant.ts";
import type { Board } from "./board/board.ts";
import type { Run } from "./board/runs.ts";
import type { Executors } from "./executors.ts";
import { SharedPages } from "./shared_pages.ts";

/** A client's lane, from the worker's side. */
export interface Lane {
  /** Which of the worker's clients it is of. */
  readonly client: number;
  readonly pages: SharedPages;
  /** The client's end of the doorbell socket, to be disposed of once it is passed. */
  readonly bell: OwnedDescriptor;
}

/** The lanes of all clients. */
export class Lanes {
  readonly #board: Board;
  readonly #executors: Executors;
  readonly #attendant: Attendant;
  readonly #words: (Uint32Array | undefined)[] = new Array(MOST_CLIENTS);
  readonly #closing = new Set<Promise<void>>();

  constructor(board: Board, executors: Executors, attendant: Attendant) {
    this.#board = board;
    this.#attendant = attendant;
    this.#executors = executors;
  }

  /**
   * Makes a lane, and lets executors serve it.
   *
   * @param isShared whether another process will map it
   * @param pid of that process; 0 where it is not known
   * @throws {WorkerError} WORKER_BUSY when there are too many @throws {SystemFailure} where there is no memory or descriptor
   */
  open(isShared: boolean, pid: number): Lane & { close(): Promise<void> } {
    const pages = isShared ? SharedPages.shared("coload-lane", LANE_BYTE_LENGTH) : SharedPages.own(LANE_BYTE_LENGTH);
    let bells: readonly OwnedDescriptor[] = [];
    try {
      const buffer = ffi.view(ffi.pointer(pages.address)!, HEAP_OFFSET);
      initLane(buffer);
      const [own, others] = bells = socketPair().map((fd) => new OwnedDescriptor(fd)) as [
        OwnedDescriptor,
        OwnedDescriptor,
      ];
      const client = this.#board.exclusively(() =>
        this.#board.clients.add({ address: pages.address, bell: own.fd, pid })
      );
      if (client === undefined) {
        throw new WorkerError("WORKER_BUSY", `The worker has ${MOST_CLIENTS} clients, and takes no more`);
      }
      this.#words[client] = new Uint32Array(buffer);
      const close = async (): Promise<void> => {
        const done = this.#close(client, pages, own);
        this.#closing.add(done);
        await done.finally(() => this.#closing.delete(done));
      };
      return { client, pages, bell: others, close };
    } catch (error) {
      for (const bell of bells) bell[Symbol.dispose]();
      pages[Symbol.dispose]();
      throw error;
    }
  }

  /** Stops a request that its client gave up, unless others run with it. */
  cancel(client: number, slot: number, sequence: number): void {
    this.#stopWhere((entry) => entry.client === client && entry.slot === slot && entry.sequence === sequence);
  }

  /** Whether a client has handed something over that nobody took yet. */
  get isCalled(): boolean {
    const isPending = (words: Uint32Array): boolean =>
      words.subarray(LANE.pending, LANE.pending + SLOTS / 32).some((bits) => bits !== 0);
    return this.#words.some((words) => words !== undefined && isPending(words));
  }

  /** Tells all clients that no more requests are taken. */
  drain(): void {
    for (const words of this.#words) if (words !== undefined) Atomics.store(words, LANE.draining, 1);
  }

  /** Resolves when the lanes that are being closed are. */
  async closed(): Promise<void> {
    await Promise.all(this.#closing);
  }

  async #close(client: number, pages: SharedPages, bell: OwnedDescriptor): Promise<void> {
    this.#board.exclusively(() => {
      this.#board.clients.remove(client);
      this.#board.queues.remove(client);
    });
    this.#stopWhere((entry) => entry.client === client);
    this.#attendant.forget(client);
    await this.#executors.turned();
    this.#words[client] = undefined;
    this.#board.clients.free(client);
    bell[Symbol.dispose]();
    pages[Symbol.dispose]();
  }

  /** Stops the runs of requests that are meant, where nobody waits for any that runs with them. */
  #stopWhere(isMeant: (entry: Run["entries"][number]) => boolean): void {
    this.#board.exclusively(() => {
      for (let executor = 0; executor < this.#executors.count; executor++) {
        const { runOptions, entries } = this.#board.runs.of(executor), pointer = ffi.pointer(runOptions);
        if (pointer === null || !entries.some(isMeant) || !entries.every((entry) => this.#isGivenUp(entry))) continue;
        this.#board.runs.noteStopped(executor);
        check(ort().api.RunOptionsSetTerminate(pointer), "stop a run");
      }
    });
  }

  #isGivenUp({ client, slot, sequence }: Run["entries"][number]): boolean {
    return !this.#board.clients.isAlive(client) || this.#words[client]?.[slotWord(slot) + SLOT.cancelled] === sequence;
  }
}
