import { currentCpu, waitForWord, wakeWord } from "../../../ffi/futex.ts";
import { ffi, type Pointer } from "../../../ffi/mod.ts";
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
import { type Board, clock } from "../board/board.ts";
import { type Entry, RequestQueues } from "../board/queues.ts";
import type { Statistics } from "../statistics.ts";
import { LaneView } from "./lane_view.ts";
import type { ModelSettings } from "./messages.ts";
import type { ServedModel } from "./served_model.ts";

/** For how long to look for the next request before sleeping, in ms, and how often the clock is asked. */
const LOOK_MS = 0.05, LOOKS_PER_CLOCK = 64;
/** Sleeps end by themselves after so many ms: whatever happened, nothing waits longer. */
const SLEEP_MS = 100;
/** How often requests are looked for that have waited too long. */
const OVERDUE_MS = 5;
/** Runs of a model that takes longer than this, in ms, leave one executor to the other models. */
const LONG_RUN_MS = 20;

/** Requests that an executor took. */
export interface Work {
  readonly model: number;
  readonly entries: readonly Entry[];
  /** In ms, by the clock of the board. */
  readonly takenAt: number;
}

/** What one executor does with the board: takes requests in, and takes out what it runs next. */
export class Dispatcher {
  readonly #index: number;
  readonly #executors: number;
  readonly #board: Board;
  readonly #page: Int32Array;
  readonly #doorbell: Pointer;
  readonly #statistics: Statistics;
  readonly #lanes: (LaneView | undefined)[] = new Array(MOST_CLIENTS);
  readonly #settings: (ModelSettings | undefined)[] = [];
  readonly #models: (ServedModel | undefined)[];
  /** Models that requests wait for and that this executor does not have. */
  readonly wanted: Set<number> = new Set();
  /** The model that this executor runs. */
  #running: number | undefined;
  readonly #refused: (readonly [Entry, Error])[] = [];
  #wakeIn = SLEEP_MS;
  #lookedForOverdue = 0;

  /** @param models by their number, those that this executor has */
  constructor(
    { index, executors, page }: { readonly index: number; readonly executors: number; readonly page: bigint },
    board: Board,
    statistics: Statistics,
    models: (ServedModel | undefined)[],
  ) {
    this.#index = index;
    this.#executors = executors;
    this.#board = board;
    this.#statistics = statistics;
    this.#models = models;
    this.#doorbell = offset({ address: page }, 0);
    this.#page = new Int32Array(ffi.view(this.#doorbell, PAGE_BYTE_LENGTH));
  }

  /** Takes in how requests for a model are to be treated. */
  set(model: number, settings: ModelSettings): void {
    this.#settings[model] = settings;
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
  get #isCalled(): boolean {
    for (let word = 0; word < MOST_CLIENTS / 32; word++) {
      if (Atomics.load(this.#page, PAGE.attention + word) !== 0) return true;
    }
    return false;
  }

  /** Ends the run before, takes in what clients wrote, and takes out what is to be run next. */
  next(): Work | undefined {
    const now = clock(), refused: (readonly [Entry, Error])[] = this.#refused, board = this.#board;
    board.lock();
    let work: Work | undefined;
    try {
      this.#end();
      this.#collect(now, refused);
      this.#wakeIn = SLEEP_MS;
      if (board.queues.waiting > 0) work = this.#take(now, refused);
    } finally {
      board.unlock();
    }
    while (refused.length > 0) this.refuse(...refused.pop()!);
    if (work !== undefined && board.queues.waiting > 0 && Atomics.load(this.#page, PAGE.asleep) > 0) {
      this.#wakeAnother();
    }
    return work;
  }

  /** Ends the run before, where none follows at once. */
  end(): void {
    this.#board.exclusively(() => this.#end());
  }

  #end(): void {
    if (this.#running === undefined) return;
    if (this.#board.runs.end(this.#index)) this.#models[this.#running]?.resetRunOptions();
    this.#running = undefined;
  }

  /** What waits beside what this executor took is for others. */
  #wakeAnother(): void {
    Atomics.add(this.#page, PAGE.doorbell, 1);
    wakeWord(this.#doorbell, 1);
  }

  /** Answers whatever waits for a model, which cannot be loaded. */
  refuseAll(model: number, error: Error): void {
    const isOf = ({ client, slot }: Entry): boolean => this.lane(client).words[slotWord(slot) + SLOT.model] === model;
    const entries = this.#board.exclusively(() => [
      ...PRIORITIES.flatMap((_, priority) =>
        this.#board.queues.takeWhere(RequestQueues.of(model, priority), () => true)
      ),
      ...this.#board.queues.takeWhere(RequestQueues.own(this.#index), isOf),
    ]);
    for (const entry of entries) this.refuse(entry, error);
  }

  /** Answers that a request cannot be done. */
  refuse({ client, slot, sequence }: Entry, error: unknown): void {
    this.#board.queues.give(client, slot);
    this.lane(client).fail(slot, sequence, this.#index, error);
  }

  #collect(now: number, refused: (readonly [Entry, Error])[]): void {
    for (let word = 0; word < MOST_CLIENTS / 32; word++) {
      if (Atomics.load(this.#page, PAGE.attention + word) === 0) continue;
      for (let bits = Atomics.exchange(this.#page, PAGE.attention + word, 0); bits !== 0; bits &= bits - 1) {
        const client = word * 32 + 31 - Math.clz32(bits & -bits);
        if (this.#board.clients.isAlive(client)) this.#collectFrom(client, now, refused);
      }
    }
  }

  #collectFrom(client: number, now: number, refused: (readonly [Entry, Error])[]): void {
    const { words } = this.lane(client);
    for (let word = 0; word < SLOTS / 32; word++) {
      if (Atomics.load(words, LANE.pending + word) === 0) continue;
      for (let bits = Atomics.exchange(words, LANE.pending + word, 0); bits !== 0; bits &= bits - 1) {
        const slot = word * 32 + 31 - Math.clz32(bits & -bits), at = slotWord(slot);
        const sequence = Atomics.load(words, at + SLOT.sequence);
        if (sequence === words[at + SLOT.answered] || !this.#board.queues.take(client, slot)) continue;
        const queueMs = words[at + SLOT.queueMs]!, model = words[at + SLOT.model]!, settings = this.#settings[model];
        const waits = Math.min(queueMs || Infinity, settings?.queueTimeoutMs ?? Infinity);
        const entry = { client, slot, sequence, arrivedAt: now, waitsUntil: now + waits };
        if (settings === undefined) {
          refused.push([entry, new WorkerError("UNKNOWN_MODEL", `There is no model ${model} here`)]);
          continue;
        }
        const isOwn = (words[at + SLOT.flags]! & FLAG.own) !== 0;
        if (isOwn) {
          this.#board.queues.push(RequestQueues.own(words[at + SLOT.executor]! % this.#executors), entry);
        } else if (this.#board.queues.queued(model) >= settings.maxQueueSize) {
          const message = `The model's queue is full: ${settings.maxQueueSize} requests wait`;
          refused.push([entry, new WorkerError("WORKER_BUSY", message)]);
        } else {
          const priority = Math.min(words[at + SLOT.priority]!, PRIORITIES.length - 1);
          this.#board.queues.push(RequestQueues.of(model, priority), entry);
        }
      }
    }
  }

  #take(now: number, refused: (readonly [Entry, Error])[]): Work | undefined {
    const own = this.#takeOwn(now);
    if (own !== undefined) return own;
    if (now - this.#lookedForOverdue > OVERDUE_MS) this.#refuseOverdue(now, refused);
    for (let priority = 0; priority < PRIORITIES.length; priority++) {
      const model = this.#first(priority, now);
      if (model !== undefined) return this.#takeOf(model, priority, now);
    }
    return undefined;
  }

  /** What this executor alone can do. */
  #takeOwn(now: number): Work | undefined {
    const queue = RequestQueues.own(this.#index), first = this.#board.queues.peek(queue);
    if (first === undefined) return undefined;
    const model = this.lane(first.client).words[slotWord(first.slot) + SLOT.model]!;
    if (this.#settings[model] !== undefined && this.#models[model] === undefined) {
      this.wanted.add(model);
      return undefined;
    }
    return this.#begin(model, [this.#board.queues.shift(queue)!], now);
  }

  #refuseOverdue(now: number, refused: (readonly [Entry, Error])[]): void {
    this.#lookedForOverdue = now;
    const queues = this.#settings.flatMap((_, model) =>
      PRIORITIES.map((_, priority) => RequestQueues.of(model, priority))
    );
    for (const queue of [...queues, RequestQueues.own(this.#index)]) {
      for (const entry of this.#board.queues.takeWhere(queue, ({ waitsUntil }) => waitsUntil <= now)) {
        const waited = Math.round(now - entry.arrivedAt), most = Math.round(entry.waitsUntil - entry.arrivedAt);
        const message = `The request waited ${waited} ms for its turn, and may wait ${most} ms`;
        refused.push([entry, new WorkerError("WORKER_TIMEOUT", message)]);
      }
    }
  }

  /** The model whose request of a priority has waited longest, among those that this executor can run now. */
  #first(priority: number, now: number): number | undefined {
    let first: number | undefined, arrival = 0;
    for (let model = 0; model < this.#settings.length; model++) {
      const queue = RequestQueues.of(model, priority), found = this.#board.queues.firstArrival(queue);
      if (found === undefined) continue;
      if (this.#models[model] === undefined) {
        this.wanted.add(model);
        continue;
      }
      if (this.#isToWait(model, queue, now)) continue;
      if (first === undefined || (found - arrival | 0) < 0) [first, arrival] = [model, found];
    }
    return first;
  }

  /** Whether a request should wait for others to join it, or for an executor that other models do not need. */
  #isToWait(model: number, queue: number, now: number): boolean {
    const busy = this.#board.runs.busy(model, this.#executors), { settings } = this.#models[model]!;
    if (busy === 0) return false;
    if (this.#settings.length > 1 && busy >= this.#executors - 1 && this.#statistics.isLong(model, LONG_RUN_MS)) {
      return true;
    }
    const { axes, maxBatchSize, maxQueueDelayMs } = settings;
    if (axes === undefined || maxQueueDelayMs === 0 || this.#board.queues.count(queue) >= maxBatchSize) return false;
    const rest = this.#board.queues.firstTime(queue) + maxQueueDelayMs - now;
    if (rest > 0) this.#wakeIn = Math.min(this.#wakeIn, rest);
    return rest > 0;
  }

  #takeOf(model: number, priority: number, now: number): Work {
    const { axes, maxBatchSize } = this.#models[model]!.settings, most = axes === undefined ? 1 : maxBatchSize;
    const entries: Entry[] = [], queue = RequestQueues.of(model, priority);
    while (entries.length < most) {
      const entry = this.#board.queues.shift(queue);
      if (entry === undefined) break;
      entries.push(entry);
    }
    return this.#begin(model, entries, now);
  }

  #begin(model: number, entries: readonly Entry[], takenAt: number): Work {
    this.#running = model;
    this.#board.runs.begin(this.#index, model, this.#models[model]?.runOptionsAddress ?? 0n, entries);
    return { model, entries, takenAt };
  }

  /** Waits for a client or the worker to ring: first by looking, where that is worth it, then asleep. */
  wait(control: number, mayLook: boolean): void {
    const page = this.#page, cpu = currentCpu();
    page[PAGE.cpu] = cpu;
    if (mayLook && Atomics.compareExchange(page, PAGE.looking, 0, 1) === 0) {
      const isCalled = this.#look(control);
      Atomics.store(page, PAGE.looking, 0);
      if (isCalled) return;
    }
    Atomics.add(page, PAGE.asleep, 1);
    const bell = Atomics.load(page, PAGE.doorbell);
    if (!this.#isCalled && this.#board.control === control) waitForWord(this.#doorbell, bell >>> 0, this.#wakeIn);
    Atomics.sub(page, PAGE.asleep, 1);
  }

  #look(control: number): boolean {
    const until = performance.now() + LOOK_MS;
    do {
      for (let i = 0; i < LOOKS_PER_CLOCK; i++) if (this.#isCalled) return true;
      if (this.#board.control !== control) return true;
    } while (performance.now() < until);
    return false;
  }
}
