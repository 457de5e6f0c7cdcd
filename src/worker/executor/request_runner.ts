import { monotonicMs } from "../../../ffi/monotonic_clock.ts";
import { NativeError, OrtError, WorkerError } from "../../errors.ts";
import { violation } from "../../protocol/frames.ts";
import { ANSWER, FLAG, SLOT, SLOTS, slotWord } from "../../protocol/lane_layout.ts";
import type { Board } from "../board/board.ts";
import type { Entry } from "../board/queues.ts";
import type { FailureReason, Statistics } from "../statistics.ts";
import { type ComputedOutput, copied, deliver, type Delivery } from "./answer.ts";
import type { Batch } from "./batch.ts";
import type { Work } from "./dispatcher.ts";
import type { Intake } from "./intake.ts";
import type { LaneView } from "./lane_view.ts";
import type { Plan } from "./plan.ts";
import type { ServedModel } from "./served_model.ts";
import { type KeptResults, runSingle } from "./single.ts";

/** Runs over which a model's mean is taken. */
const RUNS_IN_MEAN = 8;

/** A request that can be run. */
interface Ready {
  readonly entry: Entry;
  readonly lane: LaneView;
  readonly plan: Plan;
}

/** What requests are run with. */
export interface RunnerParts {
  /** The executor's number. */
  readonly index: number;
  readonly board: Board;
  readonly statistics: Statistics;
  readonly intake: Intake;
  /** By their number, the models that this executor has. */
  readonly models: readonly (ServedModel | undefined)[];
  /** Called before each answer: whoever has it may ask again at once. */
  readonly willAnswer: () => void;
}

/** Runs requests that were taken, alone or joined, and answers them. */
export class RequestRunner implements Disposable {
  readonly #index: number;
  readonly #board: Board;
  readonly #statistics: Statistics;
  readonly #intake: Intake;
  readonly #models: readonly (ServedModel | undefined)[];
  readonly #willAnswer: () => void;
  /** Results that found no room, by the place of their request. */
  readonly #kept = new Map<number, KeptResults & { readonly generation: number }>();
  /** When what is done now began, in ms. */
  #time = 0;

  constructor({ index, board, statistics, intake, models, willAnswer }: RunnerParts) {
    this.#index = index;
    this.#board = board;
    this.#statistics = statistics;
    this.#intake = intake;
    this.#models = models;
    this.#willAnswer = willAnswer;
  }

  /** When it was through with the last run, in ms. */
  get time(): number {
    return this.#time;
  }

  /** Forgets what is kept for clients that are gone. */
  forget(isGone: (client: number, generation: number) => boolean): void {
    for (const [place, kept] of this.#kept) {
      if (!isGone(Math.floor(place / SLOTS), kept.generation)) continue;
      kept[Symbol.dispose]();
      this.#kept.delete(place);
    }
  }

  [Symbol.dispose](): void {
    this.forget(() => true);
  }

  /** Runs what was taken, and answers it. */
  run(work: Work): void {
    this.#time = work.takenAt;
    this.#runAll(work, this.#models[work.model]);
    for (const { client } of work.entries) this.#intake.lane(client).ring();
  }

  #runAll({ model: number, entries }: Work, model: ServedModel | undefined): void {
    if (entries.length === 1) {
      const ready = this.#prepare(number, model, entries[0]!);
      if (ready !== undefined) this.#runPrepared(number, model!, ready);
      return;
    }
    const ready = entries.flatMap((entry) => this.#prepare(number, model, entry) ?? []), begun = [...ready];
    try {
      while (ready.length > 0) this.#runGroup(number, model!, this.#takeGroup(model!, ready));
    } finally {
      for (const { plan } of begun) plan.end();
    }
  }

  #runPrepared(number: number, model: ServedModel, ready: Ready): void {
    try {
      this.#runOne(number, model, ready);
    } finally {
      ready.plan.end();
    }
  }

  /**
   * Makes a request ready to run, with what it reads where it is safe: its plan is to be ended. `undefined` for one that
   * is answered already.
   */
  #prepare(number: number, model: ServedModel | undefined, entry: Entry): Ready | undefined {
    const { client, slot, sequence } = entry;
    try {
      const lane = this.#intake.lane(client), at = slotWord(slot);
      if (model === undefined) throw new WorkerError("UNKNOWN_MODEL", `There is no model ${number} here`);
      if ((lane.words[at + SLOT.flags]! & FLAG.collect) !== 0) {
        this.#collect(model, entry, lane);
        return undefined;
      }
      if (lane.words[at + SLOT.cancelled] === sequence) throw new WorkerError("WORKER_TIMEOUT", "It was given up");
      if (lane.words[at + SLOT.revision] !== model.settings.revision) {
        const message = "The model's inputs or outputs have changed since the client asked for them";
        throw new NativeError("MODEL_CHANGED", message);
      }
      const plan = model.plan(client, lane, slot);
      plan.begin();
      return { entry, lane, plan };
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
    if (group.length > 1 && this.#runBatch(number, model, group)) return;
    for (const one of group) this.#runOne(number, model, one);
  }

  #runOne(number: number, model: ServedModel, one: Ready): void {
    const { entry, lane, plan } = one, { runOptions } = model;
    try {
      if (plan.request.sequence === undefined) {
        const delivered = runSingle(lane, entry.slot, plan, runOptions), { kept } = delivered;
        if (kept !== undefined) this.#keep(entry, lane, kept);
        return this.#answer(number, one, delivered, this.#ran(number, 1, plan.rows), 1);
      }
      if (!model.hasState) {
        throw new WorkerError("UNSUPPORTED", "Cannot keep a sequence: the worker was told of no state of this model");
      }
      using result = model.sequences(entry.client, lane).run(plan, runOptions);
      this.#deliver(number, one, result.computed, this.#ran(number, 1, plan.rows), 1);
    } catch (error) {
      this.#fail(number, entry, error, plan);
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
    const runMs = this.#ran(number, length, plans[0]!.rows * length); // all have as many: they are of one signature
    group.forEach((one, i) => {
      try {
        this.#deliver(number, one, outputs.outputs[i]!, runMs, length);
      } catch (error) {
        this.#fail(number, one.entry, error, one.plan);
      }
    });
    return true;
  }

  /** Counts a run that is over. Returns for how long it ran, in ms. */
  #ran(number: number, requests: number, rows: number): number {
    const end = monotonicMs(), runMs = end - this.#time;
    this.#statistics.noteRun(this.#index, number, requests, rows, runMs, end);
    this.#models[number]!.runMs += (runMs - this.#models[number]!.runMs) / RUNS_IN_MEAN;
    this.#time = end;
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
      this.#keep(entry, lane, { of: plan.outputKey, computed: copies, [Symbol.dispose]() {} });
    }
    this.#answer(number, one, answer, runMs, batchSize);
  }

  #keep({ client, slot }: Entry, { generation }: LaneView, kept: KeptResults): void {
    const place = client * SLOTS + slot;
    this.#kept.get(place)?.[Symbol.dispose]();
    this.#kept.set(place, { ...kept, generation, [Symbol.dispose]: () => kept[Symbol.dispose]() });
  }

  /** Brings results that were kept to where the client has made room by now. */
  #collect(model: ServedModel, entry: Entry, lane: LaneView): void {
    const { client, slot } = entry, place = client * SLOTS + slot, kept = this.#kept.get(place);
    this.#kept.delete(place);
    if (kept === undefined || kept.generation !== lane.generation) {
      throw new WorkerError("WORKER_PROTOCOL", "There are no results to collect");
    }
    let plan: Plan | undefined;
    try {
      plan = model.plan(client, lane, slot);
      if (plan.outputKey !== kept.of) throw violation("a collection of other outputs than were computed");
      plan.begin();
      const answer = deliver(lane, slot, plan, kept.computed);
      if (answer.status === ANSWER.kept) {
        throw new WorkerError("WORKER_PROTOCOL", "There is still no room for the results");
      }
      this.#send({ entry, lane, plan }, answer, this.#time - entry.arrivedAt, 0, 1); // it was counted when it ran
    } finally {
      plan?.end();
      kept[Symbol.dispose]();
    }
  }

  #answer(number: number, one: Ready, answer: Delivery["answer"], runMs: number, batchSize: number): void {
    const totalMs = this.#time - one.entry.arrivedAt, queueMs = totalMs - runMs;
    this.#statistics.noteRequest(this.#index, number, queueMs, totalMs);
    this.#send(one, answer, queueMs, runMs, batchSize);
  }

  #send(
    { entry, lane, plan }: Ready,
    { status, answerByteLength }: Delivery["answer"],
    queueMs: number,
    runMs: number,
    batchSize: number,
  ): void {
    const { client, slot, sequence } = entry;
    this.#board.queues.give(client, slot);
    plan.end(); // first: who has the answer may count what is held
    this.#willAnswer();
    lane.answer(slot, sequence, this.#index, status, answerByteLength, queueMs * 1000, runMs * 1000, batchSize);
  }

  #fail(number: number, entry: Entry, error: unknown, plan?: Plan): void {
    plan?.end();
    const { client, slot, sequence, arrivedAt } = entry;
    const isGivenUp = !this.#board.clients.isAlive(client) ||
      this.#intake.lane(client).words[slotWord(slot) + SLOT.cancelled] === sequence;
    const reason: FailureReason = isGivenUp ? "cancelled" : error instanceof OrtError ? "run" : "other";
    this.#statistics.noteFailure(this.#index, number, monotonicMs() - arrivedAt, reason);
    this.#intake.refuse(entry, error);
  }
}
