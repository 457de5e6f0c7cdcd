import { monotonicMs } from "../../../ffi/monotonic_clock.ts";
import { errorMessage, remoteError } from "../../protocol/remote_error.ts";
import { models as registry } from "../../registry/model_registry.ts";
import { Board } from "../board/board.ts";
import { Statistics } from "../statistics.ts";
import { Dispatcher } from "./dispatcher.ts";
import { Intake } from "./intake.ts";
import type { FromExecutor, ToExecutor } from "./messages.ts";
import { RequestRunner } from "./request_runner.ts";
import { ServedModel } from "./served_model.ts";

/** For how long an executor goes on without a turn of its event loop, in ms. */
const TURN_MS = 50;
/** How often the clock is asked for that: once in so many pieces of work. */
const WORKS_PER_CLOCK = 16;

type Load = Extract<ToExecutor, { kind: "load" }>;
type Start = Extract<ToExecutor, { kind: "start" }>;

/** Runs what clients ask for, on a thread of its own. Its event loop has a turn whenever the worker wants one. */
export class Executor {
  readonly #index: number;
  readonly #board: Board;
  readonly #runner: RequestRunner;
  readonly #models: (ServedModel | undefined)[] = [];
  readonly #intake: Intake;
  readonly #dispatcher: Dispatcher;
  readonly #tell: (message: FromExecutor) => void;
  #control = -1;
  /** A request that came before all models were loaded would keep this thread from loading them, however long it runs. */
  #isOpen = false;

  constructor(start: Start, tell: (message: FromExecutor) => void) {
    const { index, executors, page } = start, board = new Board(start.board), models = this.#models;
    const statistics = new Statistics(start.statistics), intake = new Intake(start, board, statistics);
    this.#index = index;
    this.#board = board;
    this.#intake = intake;
    this.#dispatcher = new Dispatcher({ place: { index, executors, page }, board, intake, models });
    const willAnswer = (): void => void this.#dispatcher.mayLook();
    this.#runner = new RequestRunner({ index, board, statistics, intake, models, willAnswer });
    this.#tell = tell;
  }

  /** Does what the worker says. */
  async receive(message: Exclude<ToExecutor, Start>): Promise<void> {
    if (message.kind === "open") this.#isOpen = true;
    else if (message.kind === "settings") this.#intake.set(message.model, message.settings);
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
    if (!this.#isOpen) {
      if (mayWait) this.#dispatcher.rest(control);
      return;
    }
    let mayLook = false, works = 0;
    do {
      const { bell } = this.#dispatcher, work = this.#dispatcher.next();
      if (work !== undefined) {
        this.#runner.run(work);
        this.#dispatcher.now = this.#runner.time;
        mayLook = true;
      } else {
        for (const wanted of this.#dispatcher.wanted) this.#tell({ kind: "wanted", model: wanted });
        this.#dispatcher.wanted.clear();
        if (!mayWait) break;
        mayLook = this.#dispatcher.wait(control, bell, mayLook) || mayLook;
      }
      if (++works % WORKS_PER_CLOCK === 0 && monotonicMs() > until) break;
    } while (this.#board.control === control);
    this.#dispatcher.end();
    this.#dispatcher.lookAway();
    this.#dispatcher.now = 0;
  }

  /** Lets go of everything. */
  stop(): void {
    this.#runner[Symbol.dispose]();
    this.#models.forEach((model) => model?.[Symbol.dispose]());
    this.#models.length = 0;
  }

  #forgetGone(control: number): void {
    const isGone = (client: number, generation: number): boolean =>
      !this.#board.clients.isAlive(client) || this.#board.clients.generationOf(client) !== generation;
    this.#runner.forget(isGone);
    for (const model of this.#models) model?.forget(isGone);
    this.#intake.forget(isGone);
    this.#control = control;
    this.#board.runs.noteTurn(this.#index, control);
    this.#tell({ kind: "turned" });
  }
}
