import { currentCpu, waitForWord, wakeWord } from "../../../ffi/futex.ts";
import type { Pointer } from "../../../ffi/mod.ts";
import { monotonicMs } from "../../../ffi/monotonic_clock.ts";
import { offset } from "../../../ffi/native_memory.ts";
import { PAGE, PRIORITIES } from "../../protocol/lane_layout.ts";
import type { Board } from "../board/board.ts";
import type { AddressWords } from "../board/runs.ts";
import { type Entry, RequestQueues } from "../board/queues.ts";
import type { Intake, Taken, ThreadPlace } from "./intake.ts";
import type { ServedModel } from "./served_model.ts";

/** For how long to look for the next request before sleeping, in ms, and how often the clock is asked. */
const LOOK_MS = 0.05, LOOKS_PER_CLOCK = 128;
/** Sleeps end by themselves after so many ms: whatever happened, nothing waits longer. */
const SLEEP_MS = 100;
/** Runs of a model that takes longer than this, in ms, leave one executor to the other models. */
const LONG_RUN_MS = 20;
/** An executor goes on being the one that looks for requests during runs that take no longer than this, in ms. */
const SHORT_RUN_MS = 0.05;
/** About what it takes until another executor is awake, in ms. */
const WAKE_MS = 0.1;

const NOWHERE: AddressWords = { low: 0, high: 0 };

/** Requests that an executor took. */
export interface Work {
  readonly model: number;
  readonly entries: readonly Entry[];
  /** In ms, by the clock of the board. */
  readonly takenAt: number;
}

/** What the dispatcher decides by. */
export interface DispatcherParts {
  readonly place: ThreadPlace;
  readonly board: Board;
  readonly intake: Intake;
  /** By their number, the models that this executor has. */
  readonly models: readonly (ServedModel | undefined)[];
}

/** Decides what one executor runs next, and waits where there is nothing. */
export class Dispatcher {
  readonly #index: number;
  readonly #executors: number;
  readonly #board: Board;
  readonly #doorbell: Pointer;
  readonly #intake: Intake;
  readonly #models: readonly (ServedModel | undefined)[];
  /** Models that requests wait for and that this executor does not have. */
  readonly wanted: Set<number> = new Set();
  /** The model that this executor runs. */
  #running: number | undefined;
  #wakeIn = SLEEP_MS;
  #isLooking = false;
  /** Since when requests have waited while this executor looked, in ms. */
  #waitingSince = Infinity;
  /** What the clock said some microseconds ago; 0 where that is longer. */
  now = 0;

  constructor({ place, board, intake, models }: DispatcherParts) {
    this.#index = place.index;
    this.#executors = place.executors;
    this.#board = board;
    this.#intake = intake;
    this.#models = models;
    this.#doorbell = offset({ address: place.page }, 0);
  }

  /** Ends the run before, takes in what clients wrote, and takes out what is to be run next. */
  next(): Work | undefined {
    this.#wakeIn = SLEEP_MS;
    const board = this.#board, isWanted = this.#intake.isCalled || board.queues.waiting > 0;
    if (!isWanted && this.#running === undefined) return undefined;
    board.lock();
    let work: Work | undefined;
    try {
      this.#end();
      if (isWanted) work = this.#take(this.now || monotonicMs());
    } finally {
      board.unlock();
    }
    this.#intake.answerRefused();
    if (this.#intake.calledOthers) this.#wakeOthers(this.#executors);
    else if (work !== undefined && this.#isMoreThan(work)) this.#wakeOthers(1);
    return work;
  }

  /** Whether there is something for others: what is there still when one of them could have been woken for it. */
  #isMoreThan({ takenAt }: Work): boolean {
    const isWaiting = this.#board.queues.waiting > 0;
    if (!this.#isLooking) return isWaiting || this.#intake.isCalled; // who came while it still looked woke nobody
    if (!isWaiting) this.#waitingSince = Infinity;
    else if (this.#waitingSince === Infinity) this.#waitingSince = takenAt;
    return takenAt - this.#waitingSince > WAKE_MS;
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

  /** What waits beside what this executor took is for others, so many of them. */
  #wakeOthers(count: number): void {
    this.#intake.calledOthers = false;
    if (this.#board.asleep === 0) return;
    Atomics.add(this.#intake.page, PAGE.doorbell, 1);
    wakeWord(this.#doorbell, count);
  }

  #take(now: number): Work | undefined {
    const only = this.#intake.collect(now);
    if (only !== undefined) {
      if (this.#canBegin(only)) return this.#begin(only.entry.model, [only.entry], now);
      this.#intake.enqueue(only);
    }
    if (this.#board.queues.waiting === 0) return undefined;
    const own = this.#takeOwn(now);
    if (own !== undefined) return own;
    for (let priority = 0; priority < PRIORITIES.length; priority++) {
      const model = this.#first(priority, now);
      if (model !== undefined) return this.#takeOf(model, priority, now);
    }
    return undefined;
  }

  /** Whether a request that is the only one can run at once, in no queue. */
  #canBegin({ entry: { model }, queue }: Taken): boolean {
    const settings = this.#models[model]?.settings;
    if (settings === undefined || (settings.axes !== undefined && settings.maxQueueDelayMs > 0)) return false;
    if (RequestQueues.isOwn(queue)) return queue === RequestQueues.own(this.#index);
    return !this.#leavesToOthers(model);
  }

  /** What this executor alone can do. */
  #takeOwn(now: number): Work | undefined {
    const queue = RequestQueues.own(this.#index), first = this.#board.queues.peek(queue);
    if (first === undefined) return undefined;
    const { model } = first;
    if (this.#intake.has(model) && this.#models[model] === undefined) {
      this.wanted.add(model);
      return undefined;
    }
    return this.#begin(model, [this.#board.queues.shift(queue)!], now);
  }

  /** The model whose request of a priority has waited longest, among those that this executor can run now. */
  #first(priority: number, now: number): number | undefined {
    let first: number | undefined, arrival = 0;
    for (let model = 0; model < this.#intake.models; model++) {
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
    if (this.#leavesToOthers(model)) return true;
    const { axes, maxBatchSize, maxQueueDelayMs } = this.#models[model]!.settings;
    if (axes === undefined || maxQueueDelayMs === 0 || this.#board.queues.count(queue) >= maxBatchSize) return false;
    if (this.#board.runs.busy(model, this.#executors) === 0) return false; // never a delay while it is idle
    const rest = this.#board.queues.firstTime(queue) + maxQueueDelayMs - now;
    if (rest > 0) this.#wakeIn = Math.min(this.#wakeIn, rest);
    return rest > 0;
  }

  /** Whether a model's runs are long, and take all executors but this one: that is for other models. */
  #leavesToOthers(model: number): boolean {
    if (this.#intake.models === 1 || this.#models[model]!.runMs <= LONG_RUN_MS) return false;
    const busy = this.#board.runs.busy(model, this.#executors);
    return busy > 0 && busy >= this.#executors - 1;
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
    const served = this.#models[model];
    if (served === undefined || served.runMs === 0 || served.runMs > SHORT_RUN_MS) this.lookAway(); // 0: not known yet
    this.#board.runs.begin(this.#index, model, served?.runOptionsAddress ?? NOWHERE, entries);
    return { model, entries, takenAt };
  }

  /** Changes when somebody rings. */
  get bell(): number {
    return Atomics.load(this.#intake.page, PAGE.doorbell);
  }

  /**
   * Waits for somebody to ring: first by looking, where that is worth it, then asleep.
   *
   * @param bell what {@linkcode Dispatcher.bell} was before there was found to be nothing
   * @returns whether somebody rang, so that looking is worth it
   */
  wait(control: number, bell: number, mayLook: boolean): boolean {
    const { page } = this.#intake, cpu = currentCpu();
    this.#waitingSince = Infinity;
    if (page[PAGE.cpu] !== cpu) page[PAGE.cpu] = cpu; // a line that clients read, and that stays theirs where it can
    const isInTheWay = page[PAGE.near] === 1 + cpu;
    if (isInTheWay) page[PAGE.near] = 0;
    if (mayLook && !isInTheWay && this.mayLook() && this.#look(control)) return true;
    this.lookAway();
    this.#noteAsleep(1);
    if (!this.#intake.isCalled && this.#board.control === control) {
      waitForWord(this.#doorbell, bell >>> 0, this.#wakeIn);
    }
    this.#noteAsleep(-1);
    this.now = 0;
    return this.bell !== bell && page[PAGE.near] !== 1 + currentCpu();
  }

  /** Sleeps until the worker rings, whether requests wait or not. */
  rest(control: number): void {
    const { bell } = this;
    if (this.#board.control === control) waitForWord(this.#doorbell, bell >>> 0, SLEEP_MS);
  }

  /** Counted where clients cannot write, and told on their page as it is in the end. */
  #noteAsleep(change: 1 | -1): void {
    this.#board.noteAsleep(change);
    for (let told = -1; told !== this.#board.asleep;) {
      told = this.#board.asleep;
      Atomics.store(this.#intake.page, PAGE.asleep, told);
    }
  }

  /** Says that this executor looks for requests no more, if it did: from here on clients wake somebody. */
  lookAway(): void {
    if (!this.#isLooking) return;
    this.#isLooking = false;
    Atomics.store(this.#intake.page, PAGE.looking, 0);
  }

  /** Whether this executor is the one that looks, from here on if none was. It stays so while its runs are short. */
  mayLook(): boolean {
    return this.#isLooking ||= Atomics.compareExchange(this.#intake.page, PAGE.looking, 0, 1) === 0;
  }

  #look(control: number): boolean {
    for (let until = 0;;) {
      for (let i = 0; i < LOOKS_PER_CLOCK; i++) if (this.#intake.isCalled) return true;
      if (this.#board.control !== control) return true;
      this.now = monotonicMs();
      if (until === 0) until = this.now + LOOK_MS;
      else if (this.now >= until) return false;
    }
  }
}
