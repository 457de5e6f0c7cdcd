import { setTimeout as sleep } from "node:timers/promises";
import { closeDescriptor, effectiveUser } from "../../ffi/descriptors.ts";
import { acceptWaiting, peerOf, shutDown, untilReadable } from "../../ffi/unix_socket.ts";
import { SystemFailure } from "../../ffi/system_failure.ts";
import type { WorkerError } from "../errors.ts";
import { startOrt } from "../ort/environment.ts";
import type { WorkerStatus } from "../protocol/status.ts";
import { models as registry } from "../registry/model_registry.ts";
import { Connection, type Service } from "./connection.ts";
import type { Executors } from "./executors.ts";
import type { Face } from "./http/face.ts";
import type { CompleteHttpOptions } from "./http/http_options.ts";
import type { ServedModels } from "./served_models.ts";
import { SocketClaim } from "./socket_claim.ts";
import { completeOptions, type WorkerOptions } from "./worker_options.ts";
import { makeParts, type WorkerParts } from "./worker_parts.ts";
import { isBusy, type StatusSources, workerStatus } from "./worker_status.ts";

/** How long to wait for a connection at a time, in ms, and after one could not be accepted. */
const ACCEPT_MS = 1000, ACCEPT_AGAIN_MS = 100;
/** How often to look whether all is answered, in ms, and for how long nothing may have come. */
const DRAIN_LOOK_MS = 5, DRAIN_QUIET_MS = 30;

/**
 * Owns models, and runs them for clients in other processes: see {@linkcode ModelClient} of `@coload/onnx/client`.
 *
 * @example
 * ```ts
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { ModelClient } from "@coload/onnx/client";
 * import { ModelWorker } from "@coload/onnx/worker";
 *
 * const path = new URL(import.meta.resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx")).pathname;
 * const socket = join(tmpdir(), `coload-example-${crypto.randomUUID()}.sock`);
 * await using worker = await ModelWorker.serve({ models: { vad: path }, socket });
 *
 * await using client = await ModelClient.connect(socket); // in any process of this user
 * await using vad = await client.model("vad");
 * console.log(vad.inputs.map(({ name }) => name), worker.status().clients.length); // [ "input", "state", "sr" ] 1
 * ```
 */
export class ModelWorker implements AsyncDisposable {
  readonly #sources: Sources;
  readonly #claim: SocketClaim;
  readonly #models: ServedModels;
  readonly #service: Service;
  readonly #connections: Set<Connection> = new Set();
  readonly #accepting: Promise<void>;
  readonly #resources: AsyncDisposableStack;
  readonly #executors: Executors;
  #face: Face | undefined;
  #hasFailed = false;
  /** Resolves if one of its threads fails: then it serves no more, and its process should end. */
  readonly failed: Promise<WorkerError>;
  #drained: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(made: WorkerParts, resources: AsyncDisposableStack) {
    const { page, lanes, models, claim, board, statistics, executors } = made, connections = this.#connections;
    const sources: Sources = this.#sources = {
      state: "starting",
      startedAt: Date.now(),
      socket: claim.path,
      http: undefined,
      executors: executors.count,
      board,
      statistics,
      entries: models.entries,
      get clients() {
        return [...connections].flatMap(({ status }) => status ?? []);
      },
    };
    this.#claim = claim;
    this.#models = models;
    this.#resources = resources;
    this.#executors = executors;
    this.#service = {
      lanes,
      models,
      page,
      get isDraining() {
        return sources.state === "draining";
      },
      status: () => this.status(),
    };
    this.#accepting = this.#accept();
    this.failed = made.failed.then((error) => {
      this.#fail(error);
      return error;
    });
  }

  /**
   * Starts a worker in this process, and resolves when its models are loaded and it answers.
   *
   * @throws {WorkerError} WORKER_RUNNING where a worker listens at the socket already
   * @throws {SystemError} SOCKET_PATH where the socket cannot be made: its path is taken, too long, or not this user's;
   *   HTTP_ADDRESS where it cannot listen
   * @throws {TypeError | RangeError} for bad options; as `InferenceSession.create` for a model that cannot be loaded
   */
  static async serve(options: WorkerOptions): Promise<ModelWorker> {
    const { configs, socket, http, executors, maxMemoryBytes } = completeOptions(options);
    await using resources = new AsyncDisposableStack();
    const claim = resources.use(SocketClaim.take(socket));
    await startOrt();
    if (maxMemoryBytes !== undefined) registry.configure({ maxMemoryBytes });
    const made = await makeParts(configs, claim, executors, resources);
    const worker = new ModelWorker(made, resources.move());
    try {
      if (http !== undefined) await worker.#openFace(http);
      await worker.#models.loadAll();
    } catch (error) {
      worker.#models.open(); // whoever waits already is refused
      await worker[Symbol.asyncDispose]();
      throw error;
    }
    if (worker.#sources.state === "starting") worker.#sources.state = "serving";
    return worker;
  }

  /** Where clients reach it. */
  get endpoints(): { readonly socket: string; readonly http?: string } {
    const { socket, http } = this.#sources;
    return { socket, ...(http !== undefined && { http }) };
  }

  /** What it is doing. */
  status(): WorkerStatus {
    return workerStatus(this.#sources);
  }

  /** Loads models whose files were changed; what is served stays until the new one is ready. @throws as {@linkcode ModelWorker.serve} */
  reload(): Promise<void> {
    return this.#models.reload();
  }

  /** Takes no more requests, and resolves when all that it has are answered. */
  drain(): Promise<void> {
    return this.#drained ??= this.#drain();
  }

  /** Drains it, and lets go of everything. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#closed ??= this.#close();
  }

  /** Answers HTTP from here on: that it is not ready yet, at first. */
  async #openFace(options: CompleteHttpOptions): Promise<void> {
    const { openFace } = await import("./http/face.ts"); // who serves no HTTP loads none of it
    this.#face = await openFace(this.#service, this.#sources.statistics, options);
    this.#sources.http = this.#face.endpoint;
  }

  async #accept(): Promise<void> {
    const { fd } = this.#claim;
    while (this.#sources.state !== "draining") {
      if (!await untilReadable(fd, ACCEPT_MS)) continue;
      try {
        for (let accepted = acceptWaiting(fd); accepted !== undefined; accepted = acceptWaiting(fd)) {
          await this.#welcome(accepted);
        }
      } catch (error) {
        if (!(error instanceof SystemFailure)) throw error;
        await sleep(ACCEPT_AGAIN_MS, undefined, { ref: false }); // no descriptors, as a rule
      }
    }
  }

  /** Serves who is of this user. */
  async #welcome(fd: number): Promise<void> {
    const peer = peerOf(fd);
    if (peer.uid !== effectiveUser() || this.#sources.state === "draining") return closeDescriptor(fd);
    let isOver = false, connection: Connection | undefined = undefined;
    const closed = (): void => {
      isOver = true;
      if (connection !== undefined) this.#connections.delete(connection);
    };
    connection = await Connection.open(fd, peer, this.#service, closed);
    if (!isOver) this.#connections.add(connection);
  }

  async #drain(): Promise<void> {
    this.#sources.state = "draining";
    this.#service.lanes.drain();
    this.#face?.drain();
    shutDown(this.#claim.fd);
    await this.#accepting;
    for (let quietSince = performance.now(); performance.now() - quietSince < DRAIN_QUIET_MS;) {
      await sleep(DRAIN_LOOK_MS);
      const isAsked = this.#face?.isBusy || [...this.#connections].some((connection) => connection.isBusy);
      if (isAsked || this.#service.lanes.isCalled || isBusy(this.#sources)) quietSince = performance.now();
    }
  }

  /** Serves nobody any more: what the failed thread had taken fails with the connections. */
  #fail(error: WorkerError): void {
    this.#hasFailed = true;
    this.#sources.state = "draining";
    this.#drained ??= Promise.resolve();
    this.#face?.fail(error);
    shutDown(this.#claim.fd);
    for (const connection of [...this.#connections]) connection.close();
  }

  async #close(): Promise<void> {
    await this.drain();
    await this.#face?.[Symbol.asyncDispose]();
    for (const connection of [...this.#connections]) connection.close();
    if (!this.#hasFailed) return await this.#resources[Symbol.asyncDispose]();
    this.#executors.terminate(); // they may be in the middle of anything: their memory stays
    this.#claim[Symbol.dispose]();
  }
}

type Sources = { -readonly [K in keyof StatusSources]: StatusSources[K] };
