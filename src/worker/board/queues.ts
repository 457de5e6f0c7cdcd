import { PRIORITIES, SLOTS } from "../../protocol/lane_layout.ts";
import {
  ARRIVAL_AT,
  ENTRIES,
  HEAD,
  MODEL_AT,
  MOST_MODELS,
  NEXT_AT,
  QUEUE_WORDS,
  QUEUES,
  QUEUES_AT,
  SEQUENCE_AT,
  TAKEN_AT,
} from "./layout.ts";

/** Positions in a queue. */
const QUEUE = { head: 0, tail: 1, count: 2 } as const;

/** A request that waits: of which client, and in which of its slots. */
export interface Entry {
  readonly client: number;
  readonly slot: number;
  /** As the client said, once: it may say something else by now. */
  readonly model: number;
  readonly sequence: number;
  /** In ms, by the clock that all threads share. */
  readonly arrivedAt: number;
  /** Until when it may wait in the queue; Infinity without a limit. */
  readonly waitsUntil: number;
}

/** The requests that wait, in order. For who works alone, but for {@linkcode RequestQueues.give} and what only looks. */
export class RequestQueues {
  readonly #u32: Uint32Array;
  readonly #times: Float64Array;

  constructor(u32: Uint32Array, times: Float64Array) {
    this.#u32 = u32;
    this.#times = times;
  }

  /** The queue of a model's requests of a priority. */
  static of(model: number, priority: number): number {
    return model * PRIORITIES.length + priority;
  }

  /** Whether a queue is one executor's. */
  static isOwn(queue: number): boolean {
    return queue >= MOST_MODELS * PRIORITIES.length;
  }

  /** The queue of what one executor alone can do. */
  static own(executor: number): number {
    return MOST_MODELS * PRIORITIES.length + executor;
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

  /** Takes a slot's request, unless that was done. Whoever does answers it, and gives the slot back. */
  take(client: number, slot: number): boolean {
    const at = TAKEN_AT + client * SLOTS + slot;
    if (this.#u32[at] !== 0) return false;
    this.#u32[at] = 1;
    return true;
  }

  /** Gives a slot back for the next request, before this one is answered. */
  give(client: number, slot: number): void {
    Atomics.store(this.#u32, TAKEN_AT + client * SLOTS + slot, 0);
  }

  /** Puts a request that was taken at the end of a queue. */
  push(queue: number, { client, slot, model, sequence, arrivedAt, waitsUntil }: Entry): void {
    const entry = client * SLOTS + slot, at = this.#queue(queue), last = this.#u32[at + QUEUE.tail]!;
    this.#u32[NEXT_AT + entry] = 0;
    this.#u32[SEQUENCE_AT + entry] = sequence;
    this.#u32[MODEL_AT + entry] = model;
    this.#u32[ARRIVAL_AT + entry] = this.#u32[HEAD.arrivals]!++;
    this.#times[entry] = arrivedAt;
    this.#times[ENTRIES + entry] = waitsUntil;
    if (last === 0) this.#u32[at + QUEUE.head] = entry + 1;
    else this.#u32[NEXT_AT + last - 1] = entry + 1;
    this.#u32[at + QUEUE.tail] = entry + 1;
    this.#note(queue, 1);
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
    this.#note(queue, -1);
    return found;
  }

  /** When the first of a queue came, by a number that grows; `undefined` where nothing waits. */
  firstArrival(queue: number): number | undefined {
    const head = this.#u32[this.#queue(queue) + QUEUE.head]!;
    return head === 0 ? undefined : this.#u32[ARRIVAL_AT + head - 1];
  }

  /** When the first of a queue came, in ms. */
  firstTime(queue: number): number {
    return this.#times[this.#u32[this.#queue(queue) + QUEUE.head]! - 1]!;
  }

  count(queue: number): number {
    return this.#u32[this.#queue(queue) + QUEUE.count]!;
  }

  /** Takes those that are wanted out of a queue. */
  takeWhere(queue: number, isWanted: (entry: Entry) => boolean): Entry[] {
    const taken: Entry[] = [];
    if (this.count(queue) === 0) return taken;
    this.#filter(queue, (number) => {
      const entry = this.#entry(number), isTaken = isWanted(entry);
      if (isTaken) taken.push(entry);
      return !isTaken;
    });
    return taken;
  }

  /** Takes a client's requests out of all queues. */
  remove(client: number): void {
    for (let queue = 0; queue < QUEUES; queue++) {
      this.#filter(queue, (entry) => Math.floor(entry / SLOTS) !== client);
    }
  }

  /** How many requests of a client wait. */
  ofClient(client: number): number {
    let sum = 0;
    for (let queue = 0; queue < QUEUES; queue++) {
      for (let link = this.#u32[this.#queue(queue) + QUEUE.head]!; link !== 0; link = this.#u32[NEXT_AT + link - 1]!) {
        if (Math.floor((link - 1) / SLOTS) === client) sum++;
      }
    }
    return sum;
  }

  #entry(entry: number): Entry {
    return {
      client: Math.floor(entry / SLOTS),
      slot: entry % SLOTS,
      model: this.#u32[MODEL_AT + entry]!,
      sequence: this.#u32[SEQUENCE_AT + entry]!,
      arrivedAt: this.#times[entry]!,
      waitsUntil: this.#times[ENTRIES + entry]!,
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
        this.#note(queue, -1);
      }
      link = next;
    }
  }

  #note(queue: number, change: 1 | -1): void {
    this.#u32[this.#queue(queue) + QUEUE.count]! += change;
    this.#u32[HEAD.waiting]! += change;
  }

  #queue(queue: number): number {
    return QUEUES_AT + queue * QUEUE_WORDS;
  }
}
