import { clearTimeout, setTimeout } from "node:timers";
import { WorkerError } from "../errors.ts";
import type { Feeds } from "../session/run_options.ts";
import type { Tensors } from "../session/tensors.ts";
import { AnswerLooks } from "./answer_looks.ts";
import { BySlot } from "./by_slot.ts";
import { type CallOptions, type CallSyncOptions, checkCallOptions } from "./call_options.ts";
import type { CallFrame } from "./call_frame.ts";
import { collectOutputs, readOutputs } from "./call_result.ts";
import type { ClientLane } from "./client_lane.ts";
import { FramePool } from "./frame_pool.ts";
import { decodeJson } from "./frames.ts";
import { ANSWER, FLAG, SLOT, SLOTS } from "./lane_layout.ts";
import { remoteError } from "./remote_error.ts";
import { notRunError } from "./never_ran.ts";
import type { RemoteModel } from "./remote_model.ts";
import { timeLimit } from "./time_limit.ts";
import { Turns } from "./turns.ts";

/** Requests in flight that the event loop waits for; one slot is left for a synchronous one. */
const MOST_WAITING = SLOTS - 1;

/** What a lane needs of the connection that it belongs to. */
export interface LaneConnection {
  /** Asks the worker to stop a request. */
  cancel(slot: number, sequence: number): void;
  /** Whether the worker is gone, by a look at the connection, which then {@linkcode LaneCaller.fail}s. */
  isGone(): boolean;
  /** Keeps the event loop alive, or lets it end. */
  hold(isBusy: boolean): void;
  /** Whether to look for an answer now, before the event loop goes on: nobody else waits for it. */
  mayLook(): boolean;
}

/** A request that the event loop waits for. */
interface Waiting {
  readonly frame: CallFrame;
  /** The answer is there, or none will be. */
  resolve(): void;
  reject(error: unknown): void;
}

/** Codes that say that the worker cannot open a region, and did not run the request. */
const UNREACHABLE: readonly unknown[] = ["REGION_NOT_FOUND", "REGION_UNREACHABLE", "REGION_FORBIDDEN", "REGION_FULL"];

/** Runs a worker's models by way of a lane. */
export class LaneCaller {
  readonly #lane: ClientLane;
  readonly #connection: LaneConnection;
  readonly #waiting = new BySlot<Waiting>();
  /** Requests that nobody waits for any more, and that the worker has not answered yet. */
  readonly #abandoned = new Set<CallFrame>();
  readonly #frames: FramePool;
  readonly #turns = new Turns();
  readonly #unreachable = new Set<string>();
  readonly #looks: AnswerLooks;
  #failure: WorkerError | undefined;

  constructor(lane: ClientLane, connection: LaneConnection) {
    this.#lane = lane;
    this.#frames = new FramePool(lane);
    this.#looks = new AnswerLooks(lane);
    this.#connection = connection;
  }

  /** Whether the worker takes no more requests. */
  get isDraining(): boolean {
    return this.#failure === undefined && this.#lane.isDraining;
  }

  /** How many requests are in flight. */
  get inFlight(): number {
    return this.#waiting.size;
  }

  readonly #isReachable = (region: string): boolean => !this.#unreachable.has(region);

  /** Wakes the worker for a request that is about to come. */
  expect(): void {
    this.#lane.expect();
  }

  /** Runs a model while the event loop goes on. @throws as `InferenceSession.run` rejects, and WorkerError */
  async run(model: RemoteModel, feeds: Feeds, options: CallOptions | undefined): Promise<Tensors> {
    if (options !== undefined) checkCallOptions(options);
    options?.signal?.throwIfAborted();
    const deadline = options?.timeoutMs === undefined ? Infinity : performance.now() + options.timeoutMs;
    if (this.#waiting.size >= MOST_WAITING) await this.#awaitTurn(options);
    let found: CallFrame | undefined, frame: CallFrame;
    try {
      this.#checkOpen();
      found = this.#frames.find(model, feeds, options, this.#isReachable);
      frame = found ?? this.#makeFrame(model);
    } catch (error) {
      this.#turns.pass();
      throw error;
    }
    let isAsked = false, isLaidOut = found !== undefined;
    try {
      for (;;) {
        frame.prepare(feeds, options, isLaidOut, true, this.#isReachable);
        isAsked = true;
        const looks = this.#waiting.size === 0 && this.#looks.isQuick(frame) && this.#connection.mayLook();
        frame.submit(looks ? 0 : FLAG.bell, options);
        if (!looks || !this.#looks.isAnsweredSoon(frame)) await this.#answered(frame, options, deadline);
        if (this.#failure) throw this.#failure; // since: the memory may be gone
        if (frame.word(SLOT.status) === ANSWER.kept) {
          frame.makeRoom(readOutputs(frame).map(({ byteLength }) => byteLength));
          frame.submitCollection(FLAG.bell);
          await this.#answered(frame, options, deadline);
          if (this.#failure) throw this.#failure;
        }
        isAsked = false;
        const tensors = this.#conclude(frame, options);
        if (tensors !== undefined) return tensors;
        isLaidOut = false;
      }
    } finally {
      this.#end(frame, isAsked);
    }
  }

  /** Runs a model while this thread waits. @throws as `InferenceSession.runSync`, and WorkerError */
  runSync(model: RemoteModel, feeds: Feeds, options: CallSyncOptions | undefined, timeoutMs: number): Tensors {
    if (options !== undefined) checkCallOptions(options);
    this.#checkOpen();
    const found = this.#frames.find(model, feeds, options, this.#isReachable), frame = found ?? this.#makeFrame(model);
    let isAsked = false, isLaidOut = found !== undefined;
    try {
      for (;;) {
        frame.prepare(feeds, options, isLaidOut, false, this.#isReachable);
        isAsked = true;
        frame.submit(0, options);
        this.#looks.awaitAnswer(frame, timeoutMs, this.#checkWorker);
        if (frame.word(SLOT.status) === ANSWER.kept) {
          frame.makeRoom(readOutputs(frame).map(({ byteLength }) => byteLength));
          frame.submitCollection(0);
          this.#looks.awaitAnswer(frame, timeoutMs, this.#checkWorker);
        }
        isAsked = false;
        const tensors = this.#conclude(frame, options);
        if (tensors !== undefined) return tensors;
        isLaidOut = false;
      }
    } finally {
      this.#end(frame, isAsked);
    }
  }

  /** Takes a frame back, at once or when the worker has answered it. */
  #end(frame: CallFrame, isAsked: boolean): void {
    if (isAsked && this.#failure === undefined) this.#abandon(frame);
    else this.#frames.give(frame);
    this.#turns.pass();
  }

  /** Looks which requests are answered. For when the doorbell rang. */
  heard(): void {
    this.#lane.heard();
    this.#waiting.forEach(({ frame, resolve }, slot) => {
      if (!this.#lane.isAnswered(slot, frame.sequence)) return;
      this.#waiting.delete(slot);
      resolve();
    });
    this.#settleAbandoned();
    if (this.#waiting.size === 0) this.#connection.hold(false);
  }

  /** Ends all that is in flight: the worker is gone. */
  fail(error: WorkerError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#waiting.forEach(({ reject }, slot) => {
      const neverRan = this.#lane.withdraw(slot); // while the memory is still there
      reject(neverRan ? notRunError(error) : error);
    });
    this.#lane.close();
    this.#waiting.clear();
    this.#abandoned.forEach((frame) => frame.finish());
    this.#abandoned.clear();
    this.#turns.end();
    this.#connection.hold(false);
  }

  #checkOpen(): void {
    if (this.#failure) {
      throw new WorkerError("WORKER_UNAVAILABLE", "The connection to the worker is lost", { cause: this.#failure });
    }
    if (this.#lane.isDraining) throw new WorkerError("WORKER_UNAVAILABLE", "The worker takes no more requests");
  }

  #answered(frame: CallFrame, options: CallOptions | undefined, deadline: number): Promise<void> {
    if (this.#waiting.size === 0) this.#connection.hold(true);
    const signal = options?.signal;
    if (signal === undefined && deadline === Infinity) {
      return new Promise((resolve, reject) => this.#waiting.set(frame.slot, { frame, resolve, reject }));
    }
    return new Promise((resolve, reject) => {
      const done = (): void => {
        signal?.removeEventListener("abort", abort);
        clearTimeout(timer);
      };
      const giveUp = (reason: unknown): void => {
        done();
        this.#waiting.delete(frame.slot);
        if (this.#waiting.size === 0) this.#connection.hold(false);
        reject(reason);
      };
      const abort = (): void => giveUp(signal!.reason);
      const late = (): void => giveUp(new WorkerError("WORKER_TIMEOUT", `No answer within ${options!.timeoutMs} ms`));
      const timer = deadline === Infinity
        ? undefined
        : setTimeout(late, Math.min(2 ** 31 - 1, Math.max(0, deadline - performance.now())));
      signal?.addEventListener("abort", abort);
      this.#waiting.set(frame.slot, {
        frame,
        resolve() {
          done();
          resolve();
        },
        reject(error) {
          done();
          reject(error);
        },
      });
      if (signal?.aborted) abort();
    });
  }

  readonly #checkWorker = (): void => {
    if (this.#connection.isGone()) throw this.#failure ?? new WorkerError("WORKER_DIED", "The worker died");
  };

  /** Makes tensors of an answer; `undefined` where the request has to be laid out and sent again, which did not run. */
  #conclude(frame: CallFrame, options: CallOptions | undefined): Tensors | undefined {
    this.#looks.note(frame);
    if (frame.word(SLOT.status) === ANSWER.done) {
      return collectOutputs(frame, readOutputs(frame), options?.outputStorage ?? "heap");
    }
    const error = remoteError(decodeJson(frame.answer()));
    if (UNREACHABLE.includes((error as { code?: unknown }).code) && this.#noteUnreachable(frame)) {
      frame.finish();
      return undefined;
    }
    throw error;
  }

  /** Notes that the worker cannot open a request's regions: their tensors are copied from here on. Whether there are any. */
  #noteUnreachable({ regions }: CallFrame): boolean {
    for (const region of regions) this.#unreachable.add(region);
    return regions.length > 0;
  }

  /** Waits until another request is over. @throws the signal's reason; WORKER_TIMEOUT */
  async #awaitTurn(options: CallOptions | undefined): Promise<void> {
    using limit = options?.timeoutMs === undefined ? undefined : timeLimit(options.timeoutMs, options.signal);
    const signal = limit?.signal ?? options?.signal;
    while (this.#waiting.size >= MOST_WAITING && this.#failure === undefined) await this.#turns.wait(signal);
  }

  #makeFrame(model: RemoteModel): CallFrame {
    if (this.#abandoned.size > 0) this.#settleAbandoned();
    return this.#frames.make(model);
  }

  /** Has the worker stop a request, and keeps its memory until the worker has let go of it. */
  #abandon(frame: CallFrame): void {
    frame.cancel();
    this.#abandoned.add(frame);
    this.#connection.cancel(frame.slot, frame.sequence);
  }

  #settleAbandoned(): void {
    for (const frame of this.#abandoned) {
      if (!this.#lane.isAnswered(frame.slot, frame.sequence)) continue;
      this.#abandoned.delete(frame);
      if (frame.word(SLOT.status) === ANSWER.kept) { // has it thrown away, as there is still no room
        frame.submitCollection(FLAG.bell);
        this.#abandoned.add(frame);
      } else {
        this.#frames.end(frame);
        this.#turns.pass();
      }
    }
  }
}
