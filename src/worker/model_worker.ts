import { setTimeout as sleep } from "node:timers/promises";
import { closeDescriptor, effectiveUser } from "../../ffi/descriptors.ts";
import { OwnedMemory } from "../../ffi/owned_memory.ts";
import { acceptWaiting, peerOf, shutDown, untilReadable } from "../../ffi/unix_socket.ts";
import { SystemFailure } from "../../ffi/system_failure.ts";
import { rangeError, typeError, type WorkerError } from "../errors.ts";
import { configuration } from "../ort/configuration.ts";
import { startOrt } from "../ort/environment.ts";
import { defaultSocket, socketPath } from "../protocol/endpoint.ts";
import { PAGE_BYTE_LENGTH } from "../protocol/lane_layout.ts";
import type { WorkerStatus } from "../protocol/status.ts";
import { models as registry } from "../registry/model_registry.ts";
import { Attendant } from "./attendant.ts";
import { Board } from "./board/board.ts";
import { BOARD_BYTE_LENGTH, MOST_EXECUTORS, MOST_MODELS } from "./board/layout.ts";
import { Connection, type Service } from "./connection.ts";
import { Executors, type Unproven } from "./executors.ts";
import { Lanes } from "./lanes.ts";
import { type CompleteConfig, completeConfig, type ModelConfig } from "./model_config.ts";
import { ServedModels } from "./served_models.ts";
import { SharedPages } from "./shared_pages.ts";
import { SocketClaim } from "./socket_claim.ts";
import { Statistics, STATISTICS_BYTE_LENGTH } from "./statistics.ts";
import { isBusy, type StatusSources, workerStatus } from "./worker_status.ts";

/** How long to wait for a connection at a time, in ms, and after one could not be accepted. */
const ACCEPT_MS = 1000, ACCEPT_AGAIN_MS = 100;
/** How often to look whether all is answered, in ms, and for how long nothing may have come. */
const DRAIN_LOOK_MS = 5, DRAIN_QUIET_MS = 30;

/** Options of {@linkcode ModelWorker.serve}. */
export interface WorkerOptions {
  /** Models by the names that clients know them by: paths of files, or how to serve them. */
  models: Readonly<Record<string, string | ModelConfig>>;
  /** Path of the unix socket. Default: one of the user's own, which clients find by themselves. */
  socket?: string;
  /** Threads that run models. Default: as many as runs may be at once, from 2 to 16. */
  executors?: number;
  /** Bytes that all models together may hold. Default: without a bound. */
  maxMemoryBytes?: number;
}

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
  #hasFailed = false;
  /** Resolves if one of its threads fails: then it serves no more, and its process should end. */
  readonly failed: Promise<WorkerError>;
  #drained: Promise<void> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(made: Made, resources: AsyncDisposableStack) {
    const { page, lanes, models, claim, board, statistics, executors } = made, connections = this.#connections;
    const sources: Sources = this.#sources = {
      state: "starting",
      startedAt: Date.now(),
      socket: claim.path,
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
      this.#fail();
      return error;
    });
  }

  /**
   * Starts a worker in this process, and resolves when its models are loaded and it answers.
   *
   * @throws {WorkerError} WORKER_RUNNING where a worker listens at the socket already
   * @throws {SystemError} SOCKET_PATH where the socket cannot be made: its path is taken, too long, or not this user's
   * @throws {TypeError | RangeError} for bad options; as `InferenceSession.create` for a model that cannot be loaded
   */
  static async serve(options: WorkerOptions): Promise<ModelWorker> {
    const { configs, socket, executors, maxMemoryBytes } = checkOptions(options);
    await using resources = new AsyncDisposableStack();
    const claim = resources.use(SocketClaim.take(socket));
    await startOrt();
    if (maxMemoryBytes !== undefined) registry.configure({ maxMemoryBytes });
    const made = await make(configs, claim, executors ?? executorsByDefault(), resources);
    const worker = new ModelWorker(made, resources.move());
    try {
      await worker.#models.loadAll();
    } catch (error) {
      await worker[Symbol.asyncDispose]();
      throw error;
    }
    if (worker.#sources.state === "starting") worker.#sources.state = "serving";
    return worker;
  }

  /** Where clients reach it. */
  get endpoints(): { readonly socket: string } {
    return { socket: this.#claim.path };
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
    shutDown(this.#claim.fd);
    await this.#accepting;
    for (let quietSince = performance.now(); performance.now() - quietSince < DRAIN_QUIET_MS;) {
      await sleep(DRAIN_LOOK_MS);
      const isAsked = [...this.#connections].some((connection) => connection.isBusy);
      if (isAsked || this.#service.lanes.isCalled || isBusy(this.#sources)) quietSince = performance.now();
    }
  }

  /** Serves nobody any more: what the failed thread had taken fails with the connections. */
  #fail(): void {
    this.#hasFailed = true;
    this.#sources.state = "draining";
    this.#drained ??= Promise.resolve();
    shutDown(this.#claim.fd);
    for (const connection of [...this.#connections]) connection.close();
  }

  async #close(): Promise<void> {
    await this.drain();
    for (const connection of [...this.#connections]) connection.close();
    if (!this.#hasFailed) return await this.#resources[Symbol.asyncDispose]();
    this.#executors.terminate(); // they may be in the middle of anything: their memory stays
    this.#claim[Symbol.dispose]();
  }
}

type Sources = { -readonly [K in keyof StatusSources]: StatusSources[K] };

/** The parts of a worker. */
interface Made {
  readonly page: SharedPages;
  readonly board: Board;
  readonly statistics: Statistics;
  readonly executors: Executors;
  readonly lanes: Lanes;
  readonly models: ServedModels;
  readonly claim: SocketClaim;
  readonly failed: Promise<WorkerError>;
}

/** Makes the parts of a worker, each disposed of before those that it needs. */
async function make(
  configs: ReadonlyMap<string, CompleteConfig>,
  claim: SocketClaim,
  count: number,
  resources: AsyncDisposableStack,
): Promise<Made> {
  resources.defer(async () => void await registry.evictExpired()); // what executors were the last to use
  const page = resources.use(sharedPage()), memory = resources.use(new OwnedMemory(BOARD_BYTE_LENGTH));
  const counted = resources.use(new OwnedMemory(STATISTICS_BYTE_LENGTH));
  const board = new Board(memory.address), statistics = new Statistics(counted.address);
  board.init();
  const failed = Promise.withResolvers<WorkerError>(),
    events = {
      wanted: (model: number) => models.wanted(model), // executors tell of models that they were told of
      unproven: (unproven: Unproven) => void models.prove(unproven),
      failed: failed.resolve,
    };
  const addresses = { board: memory.address, page: page.address, statistics: counted.address };
  const executors = await Executors.start(count, board, addresses, events);
  resources.defer(() => executors.stop());
  const attendant = resources.use(
    new Attendant({ index: MOST_EXECUTORS, executors: count, page: page.address }, board, statistics),
  );
  const lanes = new Lanes(board, executors, attendant);
  resources.defer(() => lanes.closed());
  const isIdle = (model: number): boolean => board.queues.queued(model) === 0 && board.runs.busy(model, count) === 0;
  const models = new ServedModels(configs, executors, attendant, (model) => statistics.of(model).lastAt, isIdle);
  resources.defer(() => models.close());
  return { page, board, statistics, executors, lanes, models, claim, failed: failed.promise };
}

/** The page that clients map; this process's own memory where it cannot be passed. */
function sharedPage(): SharedPages {
  try {
    return SharedPages.shared("coload-worker", PAGE_BYTE_LENGTH);
  } catch (error) {
    if (error instanceof SystemFailure) return SharedPages.own(PAGE_BYTE_LENGTH);
    throw error;
  }
}

const executorsByDefault = (): number => Math.min(MOST_EXECUTORS, Math.max(2, configuration().maxConcurrentRuns));

function checkOptions(options: WorkerOptions): {
  readonly configs: ReadonlyMap<string, CompleteConfig>;
  readonly socket: string;
  readonly executors: number | undefined;
  readonly maxMemoryBytes: number | undefined;
} {
  if (
    typeof options !== "object" || options === null || typeof options.models !== "object" || options.models === null
  ) {
    throw typeError("INVALID_ARGUMENT", "Cannot serve: an object with models wanted");
  }
  const { models, socket = defaultSocket(), executors, maxMemoryBytes, ...others } = options;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw typeError("INVALID_ARGUMENT", `Cannot serve: there is no option "${unknown}"`);
  const configs = new Map(Object.entries(models).map(([name, config]) => [name, completeConfig(name, config)]));
  if (configs.size === 0 || configs.size > MOST_MODELS) {
    throw rangeError("OUT_OF_RANGE", `Cannot serve: from 1 to ${MOST_MODELS} models wanted, ${configs.size} found`);
  }
  const isCount = executors === undefined ||
    (Number.isInteger(executors) && executors >= 1 && executors <= MOST_EXECUTORS);
  if (!isCount) {
    throw rangeError("OUT_OF_RANGE", `Cannot serve: from 1 to ${MOST_EXECUTORS} executors wanted, ${executors} found`);
  }
  return { configs, socket: socketPath(socket), executors, maxMemoryBytes };
}
