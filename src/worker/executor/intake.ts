import { ffi } from "../../../ffi/mod.ts";
import { monotonicMs } from "../../../ffi/monotonic_clock.ts";
import { offset } from "../../../ffi/native_memory.ts";
import { WorkerError } from "../../errors.ts";
import {
  FLAG,
  LANE,
  MOST_CLIENTS,
  PAGE,
  PAGE_BYTE_LENGTH,
  PRIORITIES,
  SLOT,
  SLOTS,
  slotWord,
} from "../../protocol/lane_layout.ts";
import type { Board } from "../board/board.ts";
import { type Entry, RequestQueues } from "../board/queues.ts";
import type { Statistics } from "../statistics.ts";
import { LaneView } from "./lane_view.ts";
import type { ModelSettings } from "./messages.ts";

/** How often requests are looked for that have waited too long, in ms. */
const OVERDUE_MS = 5;

/** Which thread of a worker it is. */
export interface ThreadPlace {
  /** Of an executor, its number; of the worker's own thread, the one after the last. */
  readonly index: number;
  /** How many executors there are. */
  readonly executors: number;
  /** Where the worker's page lies. */
  readonly page: bigint;
}

/** A request that was taken, and the queue that it belongs in. */
export interface Taken {
  readonly queue: number;
  readonly entry: Entry;
}

/** Takes in what clients hand over, on any thread of the worker: into the queues, or refused at once. */
export class Intake {
  readonly page: Int32Array;
  readonly #place: ThreadPlace;
  readonly #board: Board;
  readonly #statistics: Statistics;
  readonly #lanes: (LaneView | undefined)[] = new Array(MOST_CLIENTS);
  readonly #settings: (ModelSettings | undefined)[] = [];
  /** Slots of a client, in the order of their requests. */
  readonly #slots: number[] = [];
  /** Requests that cannot be done, why, and how long they waited, in ms. */
  readonly #refused: (readonly [Entry, Error, number])[] = [];
  #lookedForOverdue = 0;
  #only: Taken | undefined;
  /** Whether something came that another executor alone can do: then all are to be woken. */
  calledOthers = false;

  constructor(place: ThreadPlace, board: Board, statistics: Statistics) {
    this.#place = place;
    this.#statistics = statistics;
    this.#board = board;
    this.page = new Int32Array(ffi.view(offset({ address: place.page }, 0), PAGE_BYTE_LENGTH));
  }

  /** How many models there are, loaded or not. */
  get models(): number {
    return this.#settings.length;
  }

  /** Takes in how requests for a model are to be treated. */
  set(model: number, settings: ModelSettings): void {
    this.#settings[model] = settings;
  }

  /** Whether there is a model of this number. */
  has(model: number): boolean {
    return this.#settings[model] !== undefined;
  }

  /** A client's lane. */
  lane(client: number): LaneView {
    const { clients } = this.#board, generation = clients.generationOf(client), found = this.#lanes[client];
    if (found?.generation === generation) return found;
    return this.#lanes[client] = new LaneView(clients.of(client));
  }

  /** Forgets the lanes of clients that are gone: they are about to be unmapped. */
  forget(isGone: (client: number, generation: number) => boolean): void {
    this.#lanes.forEach((lane, client) => {
      if (lane && isGone(client, lane.generation)) this.#lanes[client] = undefined;
    });
  }

  /** Whether a client has said that it has requests. */
  get isCalled(): boolean {
    const { page } = this, { words } = this.#board.clients;
    for (let word = 0; word < words; word++) if (Atomics.load(page, PAGE.attention + word) !== 0) return true;
    return false;
  }

  /**
   * Takes in what clients wrote. For who works on the board alone; {@linkcode Intake.answerRefused} is then due.
   *
   * @returns a request that is in no queue yet, as it is the only one: to be run, or put there
   */
  collect(now: number): Taken | undefined {
    const { page } = this, { clients, queues } = this.#board, { words } = clients;
    this.#only = undefined;
    for (let word = 0; word < words; word++) {
      if (page[PAGE.attention + word] === 0) continue;
      for (let bits = Atomics.exchange(page, PAGE.attention + word, 0); bits !== 0; bits &= bits - 1) {
        const client = word * 32 + 31 - Math.clz32(bits & -bits);
        if (clients.isAlive(client)) this.#collectFrom(client, now);
      }
    }
    if (queues.waiting > 0 && now - this.#lookedForOverdue > OVERDUE_MS) this.#takeOverdue(now);
    return this.#only;
  }

  /** The same of all clients, whether they have said so or not: one may have taken another's word back. */
  collectAll(now: number): Taken | undefined {
    const { clients } = this.#board, before = this.collect(now);
    this.#only = before;
    for (let client = 0; client < clients.words * 32; client++) {
      if (clients.isAlive(client)) this.#collectFrom(client, now);
    }
    return this.#only;
  }

  /** Puts a request at the end of its queue. */
  enqueue({ queue, entry }: Taken): void {
    this.#board.queues.push(queue, entry);
  }

  /** Answers what cannot be done. */
  answerRefused(): void {
    while (this.#refused.length > 0) {
      const [entry, error, waitedMs] = this.#refused.pop()!;
      if (this.has(entry.model)) this.#statistics.noteRefused(this.#place.index, entry.model, waitedMs);
      this.refuse(entry, error);
    }
  }

  /** Answers that a request cannot be done. */
  refuse({ client, slot, sequence }: Entry, error: unknown): void {
    this.#board.queues.give(client, slot);
    const lane = this.lane(client);
    lane.fail(slot, sequence, this.#place.index, error);
    lane.ring();
  }

  /** Answers whatever waited for a model before a time, when it could not be loaded. */
  refuseAll(model: number, before: number, error: Error): void {
    const isOf = (entry: Entry): boolean => entry.arrivedAt < before && entry.model === model;
    const entries = this.#board.exclusively(() =>
      this.#queues().flatMap((queue) => this.#board.queues.takeWhere(queue, isOf))
    );
    const now = monotonicMs();
    for (const entry of entries) {
      this.#statistics.noteFailure(this.#place.index, entry.model, now - entry.arrivedAt, "other");
      this.refuse(entry, error);
    }
  }

  #collectFrom(client: number, now: number): void {
    const { words } = this.lane(client), slots = this.#slots;
    slots.length = 0;
    for (let word = 0; word < SLOTS / 32; word++) {
      if (words[LANE.pending + word] === 0) continue; // seen, as `attention` was set after it
      for (let bits = Atomics.exchange(words, LANE.pending + word, 0); bits !== 0; bits &= bits - 1) {
        slots.push(word * 32 + 31 - Math.clz32(bits & -bits));
      }
    }
    if (slots.length > 1) sortByOrder(slots, words);
    for (let i = 0; i < slots.length; i++) this.#take(client, slots[i]!, words, now);
  }

  #take(client: number, slot: number, words: Uint32Array, now: number): void {
    const at = slotWord(slot), { queues } = this.#board, sequence = words[at + SLOT.sequence]!;
    if (sequence === words[at + SLOT.answered] || !queues.take(client, slot)) return;
    const model = words[at + SLOT.model]!, settings = this.#settings[model];
    const isCollection = (words[at + SLOT.flags]! & FLAG.collect) !== 0; // what ran must not be refused
    const waits = isCollection
      ? Infinity
      : Math.min(words[at + SLOT.queueMs]! || Infinity, settings?.queueTimeoutMs ?? Infinity);
    const entry = { client, slot, model, sequence, arrivedAt: now, waitsUntil: now + waits };
    if (settings === undefined) {
      this.#refused.push([entry, new WorkerError("UNKNOWN_MODEL", `There is no model ${model} here`), 0]);
    } else if (!isCollection && queues.queued(model) >= settings.maxQueueSize) {
      const message = `The model's queue is full: ${settings.maxQueueSize} requests wait`;
      this.#refused.push([entry, new WorkerError("WORKER_BUSY", message), 0]);
    } else {
      this.#put({ queue: this.#queueOf(model, words, at), entry });
    }
  }

  #queueOf(model: number, words: Uint32Array, at: number): number {
    if ((words[at + SLOT.flags]! & FLAG.own) === 0) {
      return RequestQueues.of(model, Math.min(words[at + SLOT.priority]!, PRIORITIES.length - 1));
    }
    const executor = words[at + SLOT.executor]! % this.#place.executors;
    if (executor !== this.#place.index) this.calledOthers = true;
    return RequestQueues.own(executor);
  }

  /** Keeps the first that comes when nothing waits, and queues all others behind it. */
  #put(taken: Taken): void {
    if (this.#only === undefined && this.#board.queues.waiting === 0) {
      this.#only = taken;
      return;
    }
    if (this.#only !== undefined) this.enqueue(this.#only);
    this.#only = undefined;
    this.enqueue(taken);
  }

  #takeOverdue(now: number): void {
    this.#lookedForOverdue = now;
    for (const queue of this.#queues()) {
      for (const entry of this.#board.queues.takeWhere(queue, ({ waitsUntil }) => waitsUntil <= now)) {
        const waitedMs = now - entry.arrivedAt, most = Math.round(entry.waitsUntil - entry.arrivedAt);
        const message = `The request waited ${Math.round(waitedMs)} ms for its turn, and may wait ${most} ms`;
        this.#refused.push([entry, new WorkerError("WORKER_TIMEOUT", message), waitedMs]);
      }
    }
  }

  /** All queues that can have something. */
  #queues(): number[] {
    const models = this.#settings.flatMap((_, model) =>
      PRIORITIES.map((_, priority) => RequestQueues.of(model, priority))
    );
    return [...models, ...Array.from({ length: this.#place.executors }, (_, index) => RequestQueues.own(index))];
  }
}

/** Sorts slots by what their client says of their order, read once. */
function sortByOrder(slots: number[], words: Uint32Array): void {
  const order = new Map(slots.map((slot) => [slot, words[slotWord(slot) + SLOT.order]!]));
  slots.sort((one, other) => order.get(one)! - order.get(other)! | 0);
}
