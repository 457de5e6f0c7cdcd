import { ffi, type Pointer } from "../../ffi/mod.ts";
import { initMutex, lock, unlock } from "../../ffi/mutex.ts";
import { offset } from "../../ffi/native_memory.ts";
import { MOST_CLIENTS, PRIORITIES, SLOTS } from "../protocol/lane_layout.ts";

/** Models of one worker, and threads that run them, at most. */
export const MOST_MODELS = 64, MOST_EXECUTORS = 16;

/** Queues: one for each model and priority, then one for each executor, of what only that one can do. */
const QUEUES = MOST_MODELS * PRIORITIES.length + MOST_EXECUTORS;
const ENTRIES = MOST_CLIENTS * SLOTS;

/** Positions in the head, in words of 32 bits. A mutex lies in the first sixteen. */
const HEAD = { control: 16, arrivals: 17, waiting: 18 } as const;
const HEAD_WORDS = 32;
/** Positions in a client's entry. */
const CLIENT = { state: 0, generation: 1, lane: 2, /* two words */ queued: 4, bell: 5 } as const;
const CLIENT_WORDS = 8;
/** Values of a client's state. */
const FREE = 0, ALIVE = 1, GONE = 2;
const QUEUE = { head: 0, tail: 1, count: 2 } as const;
const QUEUE_WORDS = 4;
/** What each executor is doing: how many requests, whose run options, and which they are. */
const EXECUTOR = { turned: 0, running: 1, model: 2, stopped: 3, runOptions: 4, /* two words */ entries: 6 } as const;
const EXECUTOR_WORDS: number = EXECUTOR.entries + 2 * SLOTS;

const CLIENTS_AT = HEAD_WORDS, QUEUES_AT: number = CLIENTS_AT + MOST_CLIENTS * CLIENT_WORDS;
const EXECUTORS_AT: number = QUEUES_AT + QUEUES * QUEUE_WORDS;
const NEXT_AT: number = EXECUTORS_AT + MOST_EXECUTORS * EXECUTOR_WORDS;
const SEQUENCE_AT: number = NEXT_AT + ENTRIES, ARRIVAL_AT: number = SEQUENCE_AT + ENTRIES;
/** By entry, whether it waits or runs: a client may say twice that it is there. */
const TAKEN_AT: number = ARRIVAL_AT + ENTRIES, WORDS: number = TAKEN_AT + ENTRIES;
/** Times follow the words: when each entry came, and until when it may wait. */
const TIMES_AT: number = Math.ceil(WORDS / 2), TIMES = 2 * ENTRIES;

/** Bytes of a worker's board. */
export const BOARD_BYTE_LENGTH: number = (TIMES_AT + TIMES) * 8;

/** A request that waits: of which client, and in which of its slots. */
export interface Entry {
  readonly client: number;
  readonly slot: number;
  readonly sequence: number;
  /** In ms, by the clock that all threads share. */
  readonly arrivedAt: number;
  /** Until when it may wait in the queue; Infinity without a limit. */
  readonly waitsUntil: number;
}

/** What an executor runs. */
export interface Run {
  readonly runOptions: bigint;
  readonly entries: readonly Pick<Entry, "client" | "slot" | "sequence">[];
}

const { timeOrigin } = performance;

/** The clock of {@linkcode Entry}. */
export const clock = (): number => timeOrigin + performance.now();

/**
 * What the threads of a worker share: which clients there are, and which of their requests wait, in order. It is memory
 * of this process alone: nothing that a client writes can change it.
 */
export class Board {
  readonly #mutex: Pointer;
  readonly #u32: Uint32Array;
  readonly #f64: Float64Array;

  /** @param address of zeroed memory of {@linkcode BOARD_BYTE_LENGTH} bytes */
  constructor(address: bigint) {
    this.#mutex = offset({ address }, 0);
    const buffer = ffi.view(this.#mutex, BOARD_BYTE_LENGTH);
    this.#u32 = new Uint32Array(buffer, 0, WORDS);
    this.#f64 = new Float64Array(buffer, TIMES_AT * 8, TIMES);
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

  /** Changes when executors must give their event loops a turn. */
  get control(): number {
    return Atomics.load(this.#u32, HEAD.control);
  }

  /** Has all executors give their event loops a turn, once they are woken. Returns the new {@linkcode Board.control}. */
  changeControl(): number {
    return Atomics.add(this.#u32, HEAD.control, 1) + 1 >>> 0;
  }

  /** Notes that an executor has seen a change of control: it uses nothing any more that was gone by then. */
  noteTurn(executor: number, control: number): void {
    Atomics.store(this.#u32, EXECUTORS_AT + executor * EXECUTOR_WORDS + EXECUTOR.turned, control);
  }

  /** The change of control that an executor saw last. */
  turnOf(executor: number): number {
    return Atomics.load(this.#u32, EXECUTORS_AT + executor * EXECUTOR_WORDS + EXECUTOR.turned);
  }

  /**
   * Puts a client in a free place, and returns that; `undefined` when there are too many.
   *
   * @param lane where its lane starts
   * @param bell the descriptor of its doorbell socket
   */
  addClient(lane: bigint, bell: number): number | undefined {
    return this.exclusively(() => {
      for (let client = 0; client < MOST_CLIENTS; client++) {
        const at = this.#client(client);
        if (this.#u32[at + CLIENT.state] !== FREE) continue;
        this.#u32[at + CLIENT.lane] = Number(lane & 0xffffffffn);
        this.#u32[at + CLIENT.lane + 1] = Number(lane >> 32n);
        this.#u32[at + CLIENT.generation]!++;
        this.#u32[at + CLIENT.queued] = 0;
        this.#u32[at + CLIENT.bell] = bell;
        Atomics.store(this.#u32, at + CLIENT.state, ALIVE);
        return client;
      }
      return undefined;
    });
  }

  /** Takes a client's requests out of all queues. Its place and its lane stay until {@linkcode Board.freeClient}. */
  removeClient(client: number): void {
    this.exclusively(() => {
      Atomics.store(this.#u32, this.#client(client) + CLIENT.state, GONE);
      for (let queue = 0; queue < QUEUES; queue++) {
        this.#filter(queue, (entry) => Math.floor(entry / SLOTS) !== client);
      }
    });
  }

  /** Gives a client's place to others. No executor may use its lane any more. */
  freeClient(client: number): void {
    this.#u32.fill(0, TAKEN_AT + client * SLOTS, TAKEN_AT + (client + 1) * SLOTS);
    Atomics.store(this.#u32, this.#client(client) + CLIENT.state, FREE);
  }

  isAlive(client: number): boolean {
    return Atomics.load(this.#u32, this.#client(client) + CLIENT.state) === ALIVE;
  }

  /** Which of the clients that had this place it is. */
  generationOf(client: number): number {
    return this.#u32[this.#client(client) + CLIENT.generation]!;
  }

  /** Where its lane starts. */
  laneOf(client: number): bigint {
    const at = this.#client(client) + CLIENT.lane;
    return BigInt(this.#u32[at + 1]!) << 32n | BigInt(this.#u32[at]!);
  }

  /** The descriptor of its doorbell socket. */
  bellOf(client: number): number {
    return this.#u32[this.#client(client) + CLIENT.bell]!;
  }

  /** How many requests of a client wait. */
  queuedOf(client: number): number {
    return this.#u32[this.#client(client) + CLIENT.queued]!;
  }

  /** How many requests wait, for whatever model. */
  get waiting(): number {
    return this.#u32[HEAD.waiting]!;
  }

  /** How many requests wait for a model. */
  queued(model: number): number {
    let sum = 0;
    for (let priority = 0; priority < PRIORITIES.length; priority++) {
      sum += this.#u32[this.#queue(model * PRIORITIES.length + priority) + QUEUE.count]!;
    }
    return sum;
  }

  /** The queue of a model's requests of a priority. */
  static queueOf(model: number, priority: number): number {
    return model * PRIORITIES.length + priority;
  }

  /** The queue of what one executor alone can do. */
  static ownQueue(executor: number): number {
    return MOST_MODELS * PRIORITIES.length + executor;
  }

  /** Takes a slot's request, unless that was done. Whoever does answers it, and gives the slot back. */
  take(client: number, slot: number): boolean {
    return Atomics.exchange(this.#u32, TAKEN_AT + client * SLOTS + slot, 1) === 0;
  }

  /** Gives a slot back for the next request, before this one is answered. */
  give(client: number, slot: number): void {
    Atomics.store(this.#u32, TAKEN_AT + client * SLOTS + slot, 0);
  }

  /** Puts a request that was taken at the end of a queue. For who works {@linkcode Board.exclusively}, as all below. */
  push(queue: number, { client, slot, sequence, arrivedAt, waitsUntil }: Entry): void {
    const entry = client * SLOTS + slot, at = this.#queue(queue), last = this.#u32[at + QUEUE.tail]!;
    this.#u32[NEXT_AT + entry] = 0;
    this.#u32[SEQUENCE_AT + entry] = sequence;
    this.#u32[ARRIVAL_AT + entry] = this.#u32[HEAD.arrivals]!++;
    this.#f64[entry] = arrivedAt;
    this.#f64[ENTRIES + entry] = waitsUntil;
    if (last === 0) this.#u32[at + QUEUE.head] = entry + 1;
    else this.#u32[NEXT_AT + last - 1] = entry + 1;
    this.#u32[at + QUEUE.tail] = entry + 1;
    this.#count(queue, client, 1);
  }

  /** When the first of a queue came, by a number that grows; `undefined` where nothing waits. */
  firstArrival(queue: number): number | undefined {
    const head = this.#u32[this.#queue(queue) + QUEUE.head]!;
    return head === 0 ? undefined : this.#u32[ARRIVAL_AT + head - 1];
  }

  /** When the first of a queue came, in ms. */
  firstTime(queue: number): number {
    return this.#f64[this.#u32[this.#queue(queue) + QUEUE.head]! - 1]!;
  }

  count(queue: number): number {
    return this.#u32[this.#queue(queue) + QUEUE.count]!;
  }

  /** The first of a queue. */
  peek(queue: number): Entry | undefined {
    const head = this.#u32[this.#queue(queue) + QUEUE.head]!;
    return head === 0 ? undefined : this.#entry(head - 1);
  }

  /** Takes the first of a queue. */
  shift(queue: number): Entry | undefined {
    const at = this.#queue(queue), head = this.#u32[at + QUEUE.head]!;
    if (head === 0) return undefined;
    const entry = head - 1, next = this.#u32[NEXT_AT + entry]!;
    this.#u32[at + QUEUE.head] = next;
    if (next === 0) this.#u32[at + QUEUE.tail] = 0;
    const found = this.#entry(entry);
    this.#count(queue, found.client, -1);
    return found;
  }

  /** Takes what may wait no longer out of a queue. */
  takeOverdue(queue: number, now: number): Entry[] {
    if (this.count(queue) === 0) return [];
    const overdue: Entry[] = [];
    this.#filter(queue, (entry) => {
      const stays = now < Infinity && this.#f64[ENTRIES + entry]! > now;
      if (!stays) overdue.push(this.#entry(entry));
      return stays;
    });
    return overdue;
  }

  /** Takes all that wait for a model. */
  takeAll(model: number): Entry[] {
    return PRIORITIES.flatMap((_, priority) => this.takeOverdue(Board.queueOf(model, priority), Infinity));
  }

  /** Notes what an executor begins to run: who cancels one of it finds the run options. */
  beginRun(executor: number, model: number, runOptions: bigint, entries: readonly Entry[]): void {
    const at = EXECUTORS_AT + executor * EXECUTOR_WORDS;
    this.#u32[at + EXECUTOR.model] = model;
    this.#u32[at + EXECUTOR.runOptions] = Number(runOptions & 0xffffffffn);
    this.#u32[at + EXECUTOR.runOptions + 1] = Number(runOptions >> 32n);
    for (let i = 0; i < entries.length; i++) {
      const { client, slot, sequence } = entries[i]!;
      this.#u32[at + EXECUTOR.entries + 2 * i] = client * SLOTS + slot;
      this.#u32[at + EXECUTOR.entries + 2 * i + 1] = sequence;
    }
    Atomics.store(this.#u32, at + EXECUTOR.running, entries.length);
  }

  /** Notes that it is over, and tells whether it was stopped. After it, nobody touches the run options. */
  endRun(executor: number): boolean {
    const at = EXECUTORS_AT + executor * EXECUTOR_WORDS;
    Atomics.store(this.#u32, at + EXECUTOR.running, 0);
    return Atomics.exchange(this.#u32, at + EXECUTOR.stopped, 0) !== 0;
  }

  /** Notes that an executor's run was told to stop. */
  noteStopped(executor: number): void {
    Atomics.store(this.#u32, EXECUTORS_AT + executor * EXECUTOR_WORDS + EXECUTOR.stopped, 1);
  }

  /** How many requests an executor runs. */
  runningOf(executor: number): number {
    return Atomics.load(this.#u32, EXECUTORS_AT + executor * EXECUTOR_WORDS + EXECUTOR.running);
  }

  /** How many executors run a model now, of so many. */
  busy(model: number, executors: number): number {
    let busy = 0;
    for (let executor = 0; executor < executors; executor++) {
      const at = EXECUTORS_AT + executor * EXECUTOR_WORDS;
      if (this.#u32[at + EXECUTOR.running] !== 0 && this.#u32[at + EXECUTOR.model] === model) busy++;
    }
    return busy;
  }

  /** What an executor runs: its run options, and the requests. */
  runOf(executor: number): Run {
    const at = EXECUTORS_AT + executor * EXECUTOR_WORDS, count = this.runningOf(executor);
    const entries = Array.from({ length: count }, (_, i) => {
      const entry = this.#u32[at + EXECUTOR.entries + 2 * i]!, sequence = this.#u32[at + EXECUTOR.entries + 2 * i + 1]!;
      return { client: Math.floor(entry / SLOTS), slot: entry % SLOTS, sequence };
    });
    const high = BigInt(this.#u32[at + EXECUTOR.runOptions + 1]!), low = BigInt(this.#u32[at + EXECUTOR.runOptions]!);
    return { runOptions: high << 32n | low, entries };
  }

  #entry(entry: number): Entry {
    return {
      client: Math.floor(entry / SLOTS),
      slot: entry % SLOTS,
      sequence: this.#u32[SEQUENCE_AT + entry]!,
      arrivedAt: this.#f64[entry]!,
      waitsUntil: this.#f64[ENTRIES + entry]!,
    };
  }

  #filter(queue: number, stays: (entry: number) => boolean): void {
    const at = this.#queue(queue);
    let before = 0;
    for (let link = this.#u32[at + QUEUE.head]!; link !== 0;) {
      const next = this.#u32[NEXT_AT + link - 1]!;
      if (stays(link - 1)) {
        before = link;
      } else {
        if (before === 0) this.#u32[at + QUEUE.head] = next;
        else this.#u32[NEXT_AT + before - 1] = next;
        if (next === 0) this.#u32[at + QUEUE.tail] = before;
        this.#count(queue, Math.floor((link - 1) / SLOTS), -1);
      }
      link = next;
    }
  }

  #count(queue: number, client: number, change: 1 | -1): void {
    this.#u32[this.#queue(queue) + QUEUE.count]! += change;
    this.#u32[this.#client(client) + CLIENT.queued]! += change;
    this.#u32[HEAD.waiting]! += change;
  }

  #client(client: number): number {
    return CLIENTS_AT + client * CLIENT_WORDS;
  }

  #queue(queue: number): number {
    return QUEUES_AT + queue * QUEUE_WORDS;
  }
}
