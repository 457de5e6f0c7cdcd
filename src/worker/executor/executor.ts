import { monotonicMs } from "../../../ffi/monotonic_clock.ts";
import { NativeError, WorkerError } from "../../errors.ts";
import { models as registry } from "../../registry/model_registry.ts";
import { errorMessage, remoteError } from "../../protocol/remote_error.ts";
import { ANSWER, FLAG, SLOT, SLOTS, slotWord } from "../../protocol/lane_layout.ts";
import { Board } from "../board/board.ts";
import type { Entry } from "../board/queues.ts";
import { Statistics } from "../statistics.ts";
import { type ComputedOutput, copied, deliver } from "./answer.ts";
import type { Batch } from "./batch.ts";
import { Dispatcher, type Work } from "./dispatcher.ts";
import { Intake } from "./intake.ts";
import type { LaneView } from "./lane_view.ts";
import type { FromExecutor, ToExecutor } from "./messages.ts";
import type { Plan } from "./plan.ts";
import { ServedModel } from "./served_model.ts";
import { type KeptResults, runSingle } from "./single.ts";

/** For how long an executor goes on without a turn of its event loop, in ms. */
const TURN_MS = 50;
/** How often the clock is asked for that: once in so many pieces of work. */
const WORKS_PER_CLOCK = 16;

/** Runs over which a model's mean is taken. */
const RUNS_IN_MEAN = 8;

/** A request that can be run. */
interface Ready {
  readonly entry: Entry;
  readonly lane: LaneView;
  readonly plan: Plan;
}

type Load = Extract<ToExecutor, { kind: "load" }>;
type Start = Extract<ToExecutor, { kind: "start" }>;

/** Runs what clients ask for, on a thread of its own. Its event loop has a turn whenever the worker wants one. */
export class Executor {
  readonly #index: number;
  readonly #board: Board;
  readonly #statistics: Statistics;
  readonly #models: (ServedModel | undefined)[] = [];
  readonly #intake: Intake;
  readonly #dispatcher: Dispatcher;
  readonly #tell: (message: FromExecutor) => void;
  /** Results that found no room, by the place of their request. */
  readonly #kept = new Map<number, KeptResults & { readonly generation: number }>();
  #control = -1;
  /** When what is done now began. */
  #time = 0;

  constructor(start: Start, tell: (message: FromExecutor) => void) {
    this.#index = start.index;
    this.#board = new Board(start.board);
    this.#statistics = new Statistics(start.statistics);
    this.#intake = new Intake(start, this.#board, this.#statistics);
    const { index, executors, page } = start, place = { index, executors, page };
    const parts = { board: this.#board, intake: this.#intake, models: this.#models };
    this.#dispatcher = new Dispatcher({ place, ...parts });
    this.#tell = tell;
  }

  /** Does what the worker says. */
  async receive(message: Exclude<ToExecutor, Start>): Promise<void> {
    if (message.kind === "settings") this.#intake.set(message.model, message.settings);
    else if (message.kind === "load") await this.#load(message);
    else if (message.kind === "unload") this.#unload(message);
    else if (message.kind === "proven") this.#prove(message);
    else if (message.kind === "refuse") {
      this.#intake.refuseAll(message.model, message.before, remoteError(message.error));
    }
  }

  #prove({ model, epoch, key, isJoinable }: Extract<ToExecutor, { kind: "proven" }>): void {
    const served = this.#models[model];
    if (served?.epoch === epoch) served.joining?.prove(key, isJoinable);
  }

  async #load(message: Load): Promise<void> {
    const { model, epoch, path, options, settings } = message;
    try {
      const served = new ServedModel(await registry.load(path, options), message, this.#tell);
      this.#models[model]?.[Symbol.dispose]();
      this.#models[model] = served;
      this.#intake.set(model, settings);
      this.#tell({ kind: "loaded", model, epoch });
    } catch (error) {
      this.#tell({ kind: "failed", model, epoch, error: errorMessage(error) });
    }
  }

  #unload({ model, epoch }: Extract<ToExecutor, { kind: "unload" }>): void {
    this.#models[model]?.[Symbol.dispose]();
    this.#models[model] = undefined;
    this.#tell({ kind: "unloaded", model, epoch });
  }

  /** How many messages were sent here. */
  get told(): number {
    return this.#board.told;
  }

  /**
   * Runs until the worker wants the event loop to have a turn, or it is time for one.
   *
   * @param mayWait whether to wait where there is nothing to run; the event loop has something to do otherwise
   */
  turn(mayWait: boolean): void {
    const { control } = this.#board, until = monotonicMs() + TURN_MS;
    if (control !== this.#control) this.#forgetGone(control);
    let didRun = false, works = 0;
    do {
      const { bell } = this.#dispatcher, work = this.#dispatcher.next();
      if (work !== undefined) {
        this.#run(work);
        didRun = true;
      } else {
        for (const wanted of this.#dispatcher.wanted) this.#tell({ kind: "wanted", model: wanted });
        this.#dispatcher.wanted.clear();
        if (!mayWait) break;
        this.#dispatcher.wait(control, bell, didRun);
      }
      if (++works % WORKS_PER_CLOCK === 0 && monotonicMs() > until) break;
    } while (this.#board.control === control);
    this.#dispatcher.end();
    this.#dispatcher.lookAway();
    this.#dispatcher.now = 0;
  }

  /** Lets go of everything. */
  stop(): void {
    this.#kept.forEach((kept) => kept[Symbol.dispose]());
    this.#models.forEach((model) => model?.[Symbol.dispose]());
    this.#models.length = 0;
  }

  #forgetGone(control: number): void {
    const isGone = (client: number, generation: number): boolean =>
      !this.#board.clients.isAlive(client) || this.#board.clients.generationOf(client) !== generation;
    for (const [place, kept] of this.#kept) {
      if (!isGone(Math.floor(place / SLOTS), kept.generation)) continue;
      kept[Symbol.dispose]();
      this.#kept.delete(place);
    }
    for (const model of this.#models) model?.forget(isGone);
    this.#intake.forget(isGone);
    this.#control = control;
    this.#board.runs.noteTurn(this.#index, control);
    this.#tell({ kind: "turned" });
  }

  #run({ model: number, entries, takenAt }: Work): void {
    const model = this.#models[number];
    this.#time = takenAt;
    if (entries.length === 1) {
      const ready = this.#prepare(number, model, entries[0]!);
      if (ready !== undefined) this.#runGroup(number, model!, [ready]);
      return;
    }
    const ready = entries.flatMap((entry) => this.#prepare(number, model, entry) ?? []);
    while (ready.length > 0) this.#runGroup(number, model!, this.#takeGroup(model!, ready));
  }

  /** Makes a request ready to run; `undefined` for one that is answered already. */
  #prepare(number: number, model: ServedModel | undefined, entry: Entry): Ready | undefined {
    const { client, slot, sequence } = entry;
    try {
      const lane = this.#intake.lane(client), at = slotWord(slot);
      if (lane.words[at + SLOT.cancelled] === sequence) throw new WorkerError("WORKER_TIMEOUT", "It was given up");
      if (model === undefined) throw new WorkerError("UNKNOWN_MODEL", `There is no model ${number} here`);
      if (lane.words[at + SLOT.revision] !== model.settings.revision) {
        throw new NativeError(
          "MODEL_CHANGED",
          "The model's inputs or outputs have changed since the client asked for them",
        );
      }
      if ((lane.words[at + SLOT.flags]! & FLAG.collect) === 0) {
        return { entry, lane, plan: model.plan(client, lane, slot) };
      }
      this.#collect(number, model, entry, lane);
    } catch (error) {
      this.#fail(number, entry, error);
    }
    return undefined;
  }

  /** The first request, with those that can be joined to it. */
  #takeGroup({ joining, settings: { maxBatchSize } }: ServedModel, ready: Ready[]): Ready[] {
    const first = ready.shift()!, { signature } = first.plan, joins = joining?.of(first.plan), group = [first];
    if (joins === undefined) return group;
    for (let i = 0; i < ready.length && (group.length + 1) * joins.rows <= maxBatchSize;) {
      const { plan } = ready[i]!;
      if (plan.signature === signature && joining!.of(plan)?.kind === joins.kind) group.push(...ready.splice(i, 1));
      else i++;
    }
    return group;
  }

  #runGroup(number: number, model: ServedModel, group: readonly Ready[]): void {
    if (group.length === 1) return this.#runOne(number, model, group[0]!);
    const begun = group.filter((one) => this.#begin(number, one));
    try {
      if (begun.length < 2 || !this.#runBatch(number, model, begun)) {
        for (const one of begun) this.#runBegun(number, model, one);
      }
    } finally {
      for (const { plan } of begun) plan.end();
    }
  }

  /** Brings what a request reads to where it is safe. Whether that could be done: if not, it is answered. */
  #begin(number: number, { plan, entry }: Ready): boolean {
    try {
      plan.begin();
      return true;
    } catch (error) {
      this.#fail(number, entry, error);
      return false;
    }
  }

  #runOne(number: number, model: ServedModel, one: Ready): void {
    if (!this.#begin(number, one)) return;
    try {
      this.#runBegun(number, model, one);
    } finally {
      one.plan.end();
    }
  }

  #runBegun(number: number, model: ServedModel, one: Ready): void {
    const { entry, lane, plan } = one, { runOptions } = model;
    try {
      if (plan.request.sequence === undefined) {
        const delivered = runSingle(lane, entry.slot, plan, runOptions), { kept } = delivered;
        if (kept !== undefined) this.#keep(entry, lane, kept);
        return this.#answer(number, one, delivered, this.#ran(number, 1), 1);
      }
      if (!model.hasState) {
        throw new WorkerError("UNSUPPORTED", "Cannot keep a sequence: the worker was told of no state of this model");
      }
      using result = model.sequences(entry.client, lane).run(plan, runOptions);
      this.#deliver(number, one, result.computed, this.#ran(number, 1), 1);
    } catch (error) {
      this.#fail(number, entry, error);
    }
  }

  /** Runs requests as one. Whether that could be done: if not, each is run alone, as one may be why. */
  #runBatch(number: number, model: ServedModel, group: readonly Ready[]): boolean {
    const plans = group.map(({ plan }) => plan), { length } = group;
    let result: ReturnType<Batch["run"]>;
    try {
      result = model.batch(plans[0]!, length).run(plans, model.runOptions);
    } catch {
      return false;
    }
    using outputs = result;
    const runMs = this.#ran(number, length);
    group.forEach((one, i) => {
      try {
        this.#deliver(number, one, outputs.outputs[i]!, runMs, length);
      } catch (error) {
        this.#fail(number, one.entry, error);
      }
    });
    return true;
  }

  /** Counts a run that is over. Returns for how long it ran, in ms. */
  #ran(number: number, requests: number): number {
    const end = monotonicMs(), runMs = end - this.#time;
    this.#statistics.noteRun(this.#index, number, requests, runMs, end);
    this.#models[number]!.runMs += (runMs - this.#models[number]!.runMs) / RUNS_IN_MEAN;
    this.#time = this.#dispatcher.now = end;
    return runMs;
  }

  /** Brings what was computed for a request to its client, or keeps it until there is room. */
  #deliver(
    number: number,
    one: Ready,
    computed: readonly (ComputedOutput | undefined)[],
    runMs: number,
    batchSize: number,
  ): void {
    const { entry, lane, plan } = one, answer = deliver(lane, entry.slot, plan, computed);
    if (answer.status === ANSWER.kept) {
      const copies = computed.map((output) => output && copied(output));
      this.#keep(entry, lane, { computed: copies, [Symbol.dispose]() {} });
    }
    this.#answer(number, one, answer, runMs, batchSize);
  }

  #keep({ client, slot }: Entry, { generation }: LaneView, kept: KeptResults): void {
    const place = client * SLOTS + slot;
    this.#kept.get(place)?.[Symbol.dispose]();
    this.#kept.set(place, { ...kept, generation, [Symbol.dispose]: () => kept[Symbol.dispose]() });
  }

  /** Brings results that were kept to where the client has made room by now. */
  #collect(number: number, model: ServedModel, entry: Entry, lane: LaneView): void {
    const { client, slot } = entry, place = client * SLOTS + slot, kept = this.#kept.get(place);
    if (kept === undefined || kept.generation !== lane.generation) {
      throw new WorkerError("WORKER_PROTOCOL", "There are no results to collect");
    }
    const plan = model.plan(client, lane, slot);
    plan.begin();
    try {
      const answer = deliver(lane, slot, plan, kept.computed);
      if (answer.status === ANSWER.kept) {
        throw new WorkerError("WORKER_PROTOCOL", "There is still no room for the results");
      }
      this.#answer(number, { entry, lane, plan }, answer, 0, 1);
    } finally {
      plan.end();
      kept[Symbol.dispose]();
      this.#kept.delete(place);
    }
  }

  #answer(
    number: number,
    { entry, lane }: Ready,
    { status, answerByteLength }: { readonly status: number; readonly answerByteLength: number },
    runMs: number,
    batchSize: number,
  ): void {
    const { client, slot, sequence, arrivedAt } = entry, totalMs = this.#time - arrivedAt, queueMs = totalMs - runMs;
    this.#statistics.noteRequest(this.#index, number, queueMs, totalMs, false);
    this.#board.queues.give(client, slot);
    lane.answer(slot, sequence, this.#index, status, answerByteLength, queueMs * 1000, runMs * 1000, batchSize);
  }

  #fail(number: number, entry: Entry, error: unknown): void {
    this.#statistics.noteRequest(this.#index, number, 0, monotonicMs() - entry.arrivedAt, true);
    this.#intake.refuse(entry, error);
  }
}
