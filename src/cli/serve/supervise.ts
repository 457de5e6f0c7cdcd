import { existsSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { NativeError } from "../../errors.ts";
import type { WorkerStatus } from "../../protocol/status.ts";
import type { WorkerOptions } from "../../worker/worker_options.ts";
import { SocketClaim } from "../../worker/socket_claim.ts";
import { Backoff } from "./backoff.ts";
import type { Say } from "./log.ts";
import { StopSignals } from "./stop_signals.ts";
import { describeServer, whoServes } from "./who_serves.ts";
import { type End, type Heard, WorkerProcess } from "./worker_process.ts";

/** For how long to wait for a worker that is ending, and does not answer any more, to leave its socket, in ms. */
const LEAVE_MS = 15_000;
/** Codes of errors that are the command line's. */
const USAGE_CODES = ["INVALID_ARGUMENT", "OUT_OF_RANGE"];

/** What a worker is looked after with. */
export interface SuperviseOptions {
  readonly options: WorkerOptions & { readonly socket: string };
  /** Whether to start it again when it dies. */
  readonly restarts: boolean;
  readonly ifAbsent: boolean;
  readonly json: boolean;
}

/** Serves models in a process of its own, which it starts again when it dies. @returns the exit code */
export async function supervise(settings: SuperviseOptions, say: Say): Promise<number> {
  const { socket } = settings.options, found = await whoServes(socket), supervisor = new Supervisor(settings, say);
  if (found !== undefined) return supervisor.alreadyServed(found);
  try {
    return await supervisor.run();
  } finally {
    removeStale(socket);
  }
}

class Supervisor {
  readonly #settings: SuperviseOptions;
  readonly #say: Say;
  readonly #backoff = new Backoff();
  readonly #begin = performance.now();
  #worker: WorkerProcess | undefined;
  #wasReady = false;

  constructor(settings: SuperviseOptions, say: Say) {
    this.#settings = settings;
    this.#say = say;
  }

  async run(): Promise<number> {
    using signals = new StopSignals({
      stop: (signal) => {
        this.#say({ event: "draining", signal });
        this.#worker?.tell({ drain: true });
      },
      kill: () => this.#worker?.kill(),
      reload: () => {
        this.#say({ event: "reloading" });
        this.#worker?.tell({ reload: true });
      },
    });
    for (;;) {
      const end = await this.#serve();
      const exitCode = signals.exitCode ?? (end.exitCode === 0 ? 0 : await this.#exitCodeOf(end));
      if (exitCode !== undefined) {
        if (this.#wasReady || signals.exitCode !== undefined) this.#say({ event: "stopped" });
        return exitCode;
      }
      const delayMs = this.#backoff.next(end.readyMs);
      this.#say({ event: "restarting", delayMs });
      await sleep(delayMs, undefined, { signal: signals.stopping }).catch(() => {});
      if (signals.exitCode !== undefined) {
        this.#say({ event: "stopped" });
        return signals.exitCode;
      }
    }
  }

  async #serve(): Promise<End> {
    const { options, json } = this.#settings, say = this.#say;
    const worker = this.#worker = new WorkerProcess({
      options,
      showsProgress: !json && process.stderr.isTTY === true,
      onOutput: json ? (text) => say({ event: "output", text }) : undefined,
    }, (message) => this.#hear(message));
    say({ event: "starting", pid: worker.pid, models: Object.keys(options.models) });
    const end = await worker.ended;
    this.#worker = undefined;
    return end;
  }

  #hear(message: Heard): void {
    const say = this.#say;
    if ("ready" in message) {
      this.#wasReady = true;
      say({ event: "ready", pid: this.#worker?.pid, ...message.ready });
    } else if ("draining" in message) say({ event: "draining" });
    else if ("unchanged" in message) say({ event: "unchanged" });
    else {
      const { model, problem } = message.changed;
      say(problem === undefined ? { event: "reloaded", model } : { event: "refused", model, problem });
    }
  }

  /** What to end with after a worker ended by itself; `undefined` to start another. */
  async #exitCodeOf({ pid, failure, exitCode, signal }: End): Promise<number | undefined> {
    const { options: { socket }, restarts } = this.#settings, say = this.#say;
    if (failure?.code === "WORKER_RUNNING") {
      const found = await whoServes(socket);
      if (found !== undefined) return this.alreadyServed(found);
      if (performance.now() - this.#begin > LEAVE_MS && !this.#wasReady) return this.#fail(failure);
      say({ event: "waiting", socket });
      return undefined;
    }
    if (!this.#wasReady) {
      return this.#fail(
        failure ?? { message: `the worker died while it started: ${signal ?? `exit code ${exitCode}`}` },
      );
    }
    say(failure ? { event: "failed", ...failure } : { event: "died", pid, signal, exitCode });
    return restarts ? undefined : 1;
  }

  /** Ends without a worker. */
  #fail(failure: NonNullable<End["failure"]>): number {
    if (this.#settings.json) this.#say({ event: "failed", ...failure });
    else console.error(`coload: ${failure.message}`);
    return USAGE_CODES.includes(failure.code ?? "") ? 2 : 1;
  }

  /** Ends since another worker serves. @returns the exit code */
  alreadyServed(found: WorkerStatus): number {
    const { options: { socket }, ifAbsent } = this.#settings, message = describeServer(socket, found);
    if (!ifAbsent) return this.#fail({ code: "WORKER_RUNNING", message });
    this.#say({ event: "present", pid: found.pid, message });
    return 0;
  }
}

/** Removes what a worker that was killed leaves at its socket, unless another serves there by now. */
function removeStale(socket: string): void {
  if (!existsSync(socket)) return;
  try {
    SocketClaim.take(socket)[Symbol.dispose]();
  } catch (error) {
    if (!(error instanceof NativeError)) throw error;
  }
}
