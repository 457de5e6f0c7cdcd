import { ffi, type Pointer } from "../../../ffi/mod.ts";
import { initMutex, lock, unlock } from "../../../ffi/mutex.ts";
import { offset } from "../../../ffi/native_memory.ts";
import { BoardClients } from "./clients.ts";
import { BOARD_BYTE_LENGTH, HEAD, TIMES, TIMES_AT, WORDS } from "./layout.ts";
import { RequestQueues } from "./queues.ts";
import { ExecutorRuns } from "./runs.ts";

/**
 * What the threads of a worker share: which clients there are, which of their requests wait, in order, and what runs. It
 * is memory of this process alone: nothing that a client writes can change it.
 */
export class Board {
  readonly clients: BoardClients;
  readonly queues: RequestQueues;
  readonly runs: ExecutorRuns;
  readonly #mutex: Pointer;
  readonly #u32: Uint32Array;

  /** @param address of zeroed memory of `BOARD_BYTE_LENGTH` bytes */
  constructor(address: bigint) {
    this.#mutex = offset({ address }, 0);
    const buffer = ffi.view(this.#mutex, BOARD_BYTE_LENGTH), u32 = this.#u32 = new Uint32Array(buffer, 0, WORDS);
    this.clients = new BoardClients(u32);
    this.queues = new RequestQueues(u32, new Float64Array(buffer, TIMES_AT * 8, TIMES));
    this.runs = new ExecutorRuns(u32);
  }

  /** For who made the memory, before anybody else sees it. */
  init(): void {
    initMutex(this.#mutex);
  }

  /** Works while no other thread of the worker does. */
  exclusively<T>(work: () => T): T {
    this.lock();
    try {
      return work();
    } finally {
      this.unlock();
    }
  }

  /** Begins to work alone. */
  lock(): void {
    lock(this.#mutex);
  }

  /** Lets others work. */
  unlock(): void {
    unlock(this.#mutex);
  }

  /** How many executors sleep. */
  get asleep(): number {
    return Atomics.load(this.#u32, HEAD.asleep);
  }

  /** Notes that an executor falls asleep, or has woken. */
  noteAsleep(change: 1 | -1): void {
    Atomics.add(this.#u32, HEAD.asleep, change);
  }

  /** How many messages executors were sent, or are about to be. */
  get told(): number {
    return Atomics.load(this.#u32, HEAD.told);
  }

  /** Notes that executors are about to be sent a message: none of them sleeps before it has come. */
  noteTold(): void {
    Atomics.add(this.#u32, HEAD.told, 1);
  }

  /** Changes when executors must give their event loops a turn. */
  get control(): number {
    return Atomics.load(this.#u32, HEAD.control);
  }

  /** Has all executors give their event loops a turn, once they are woken. Returns the new {@linkcode Board.control}. */
  changeControl(): number {
    return Atomics.add(this.#u32, HEAD.control, 1) + 1 >>> 0;
  }
}
