import { disposedError, WorkerError } from "../errors.ts";
import { unlessAborted } from "../ort/unless_aborted.ts";
import { type CallOptions, type CallSyncOptions, checkCallOptions } from "../protocol/call_options.ts";
import { checkDescription, type ModelDescription, RemoteModel } from "../protocol/remote_model.ts";
import type { WorkerStatus } from "../protocol/status.ts";
import type { Feeds } from "../session/run_options.ts";
import type { Tensors } from "../session/tensors.ts";
import { BlockingConnection } from "./blocking_connection.ts";
import { BytesCall } from "./bytes_call.ts";
import { type Link, MAY_BE_CHANGED, type ModelName } from "./link.ts";
import { neverRan } from "../protocol/never_ran.ts";
import { type Retry, retrying } from "./retry.ts";
import { timeLimit } from "../protocol/time_limit.ts";
import { type ConnectionOptions, WorkerConnection } from "./worker_connection.ts";

/** How a client reaches its worker. */
export interface LinkOptions extends ConnectionOptions {
  readonly retry: Retry;
  /** For how long a request may take, in ms. */
  readonly timeoutMs: number;
}

/** A worker, whichever process it is at the time: when the connection is lost, the next request makes a new one. */
export class WorkerLink implements Link {
  readonly socket: string;
  readonly #options: LinkOptions;
  #connection: WorkerConnection | undefined;
  #connecting: Promise<WorkerConnection> | undefined;
  #blocking: BlockingConnection | undefined;
  /** What the worker that is connected told of its models. */
  #models = new Map<string, Promise<RemoteModel>>();
  readonly #known = new Map<string, RemoteModel>();
  #closed = false;

  constructor(socket: string, options: LinkOptions) {
    this.socket = socket;
    this.#options = options;
  }

  /** Connects if need be, waiting as the retries allow. @throws {WorkerError} */
  async connect(): Promise<void> {
    await this.#retrying({}, true, () => Promise.resolve());
  }

  /** What the worker tells of a model. @throws {WorkerError} UNKNOWN_MODEL and as {@linkcode WorkerLink.run} */
  async describe(model: ModelName): Promise<ModelDescription> {
    return (await this.#retrying({}, true, (connection) => this.#describe(connection, model))).description;
  }

  /** What the worker is doing. @throws {WorkerError} and what the worker answers */
  async status(): Promise<WorkerStatus> {
    return await this.#retrying({}, true, (connection) => this.#call(connection, "status")) as WorkerStatus;
  }

  /** Whether it takes requests: asked once, and only where a connection can be made at once. @throws {WorkerError} */
  async health(): Promise<boolean> {
    return await this.#call(await this.#connected(), "health") === true;
  }

  /** Calls a method, and gives it up after the client's time. @throws {WorkerError} WORKER_TIMEOUT */
  async #call(connection: WorkerConnection, method: string, params: Record<string, unknown> = {}): Promise<unknown> {
    const { timeoutMs } = this.#options;
    if (timeoutMs === Infinity) return await connection.call(method, params);
    using limit = timeLimit(timeoutMs);
    return await connection.call(method, params, limit.signal);
  }

  /** Runs a model. @throws as `InferenceSession.run` rejects; {@linkcode WorkerError} */
  run(model: ModelName, feeds: Feeds, options: CallOptions | undefined): Promise<Tensors> {
    const connection = this.#connection, remote = this.#known.get(model.key), { timeoutMs } = this.#options;
    if (remote === undefined || connection === undefined || connection.failure) {
      return this.#runWhole(model, feeds, options ?? {});
    }
    const isLimited = options?.timeoutMs === undefined && timeoutMs !== Infinity;
    const given = isLimited ? { ...options, timeoutMs } : options, { caller } = connection;
    const running = caller ? caller.run(remote, feeds, given) : inferBytes(connection, remote, feeds, given ?? {});
    return running.catch(async (error) => { // it was the quick way, which is enough as a rule
      const { code } = error as { code?: unknown };
      const mayHelp = MAY_BE_CHANGED.includes(code)
        ? await this.#hasChanged(connection, model)
        : this.#mayHelp(error, options);
      if (!mayHelp || this.#closed) throw error;
      return await this.#runWhole(model, feeds, options ?? {});
    });
  }

  /** What a model is, or WORKER_TIMEOUT. */
  async #describeBy(
    deadline: number,
    connection: WorkerConnection,
    model: ModelName,
    signal: AbortSignal | undefined,
  ): Promise<RemoteModel> {
    const described = this.#describe(connection, model);
    if (deadline === Infinity) return await unlessAborted(described, signal);
    using limit = timeLimit(Math.max(1, deadline - performance.now()), signal);
    return await unlessAborted(described, limit.signal);
  }

  /** Whether it may help to send a request again that failed so. */
  #mayHelp(error: unknown, options: CallOptions | undefined): boolean {
    const { code } = error as { code?: unknown };
    if (code === "WORKER_UNAVAILABLE") return true; // another may have taken its place
    const { retry } = this.#options, isIdempotent = options?.idempotent ?? retry.idempotent;
    const isDied = error instanceof WorkerError && error.code === "WORKER_DIED" && isIdempotent;
    return (retry.attempts > 0 && (neverRan(error) || isDied));
  }

  async #runWhole(model: ModelName, feeds: Feeds, given: CallOptions): Promise<Tensors> {
    checkCallOptions(given);
    const deadline = this.#deadline(given.timeoutMs);
    const mayRepeat = given.idempotent ?? this.#options.retry.idempotent;
    const once = async (connection: WorkerConnection): Promise<Tensors> => {
      const remote = await this.#describeBy(deadline, connection, model, given.signal);
      const timeoutMs = Math.max(0.001, deadline - performance.now());
      const options = deadline === Infinity ? given : { ...given, timeoutMs };
      if (connection.caller !== undefined) return await connection.caller.run(remote, feeds, options);
      return await inferBytes(connection, remote, feeds, options);
    };
    return await this.#retrying(given, mayRepeat, (connection) =>
      once(connection).catch(async (error) => {
        if (!MAY_BE_CHANGED.includes(error?.code) || !await this.#hasChanged(connection, model)) throw error;
        return await once(connection); // by what the model wants now
      }));
  }

  /**
   * Runs a model while this thread waits.
   *
   * @throws {WorkerError} WORKER_UNAVAILABLE while the connection is lost: the next asynchronous request makes one
   */
  runSync(model: ModelName, feeds: Feeds, options: CallSyncOptions | undefined): Tensors {
    const connection = this.#connection, remote = this.#known.get(model.key);
    if (this.#closed) throw disposedError("the client");
    if (connection === undefined || connection.failure || remote === undefined) {
      this.describe(model).catch(() => {}); // so that the next one finds a connection
      const why = connection?.failure?.message ?? "it was not connected yet";
      throw new WorkerError("WORKER_UNAVAILABLE", `There is no connection to the worker at ${this.socket}: ${why}`);
    }
    const timeoutMs = options?.timeoutMs ?? this.#options.timeoutMs;
    try {
      if (connection.caller !== undefined) return connection.caller.runSync(remote, feeds, options, timeoutMs);
      return this.#runBlocking(remote, feeds, options ?? {}, timeoutMs);
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (MAY_BE_CHANGED.includes(code)) this.#hasChanged(connection, model).catch(() => {}); // for the next one
      throw error;
    }
  }

  /** Runs a model by a connection of its own, on whose bytes this thread waits. */
  #runBlocking(remote: RemoteModel, feeds: Feeds, options: CallSyncOptions, timeoutMs: number): Tensors {
    checkCallOptions(options);
    using call = new BytesCall(remote, feeds, options, false);
    this.#blocking ??= BlockingConnection.open(this.socket, this.#options.name, timeoutMs);
    try {
      return call.collect(this.#blocking.infer(call.body, timeoutMs));
    } catch (error) {
      if (error instanceof WorkerError && error.code !== "WORKER_BUSY") { // whatever is still to come is another's
        this.#blocking[Symbol.dispose]();
        this.#blocking = undefined;
      }
      throw error;
    }
  }

  /** Whether the worker tells something else of a model by now, which holds from here on. */
  async #hasChanged(connection: WorkerConnection, model: ModelName): Promise<boolean> {
    const { key } = model, before = this.#known.get(key)?.description.revision;
    this.#models.delete(key);
    return (await this.#describe(connection, model)).description.revision !== before;
  }

  /** Ends it: requests in flight fail with WORKER_UNAVAILABLE. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#connecting?.catch(() => undefined);
    this.#connection?.close();
    this.#blocking?.[Symbol.dispose]();
  }

  #deadline(timeoutMs: number | undefined): number {
    return performance.now() + (timeoutMs ?? this.#options.timeoutMs);
  }

  #retrying<T>(
    { signal, timeoutMs }: CallOptions,
    mayRepeat: boolean,
    work: (connection: WorkerConnection) => Promise<T>,
  ): Promise<T> {
    const once = async (): Promise<T> => await work(await unlessAborted(this.#connected(), signal));
    return retrying(once, this.#options.retry, { mayRepeat, deadline: this.#deadline(timeoutMs), signal });
  }

  /** The connection, made anew where it was lost, or the worker takes no more requests by it. */
  async #connected(): Promise<WorkerConnection> {
    if (this.#closed) throw disposedError("the client");
    const connection = this.#connection;
    if (connection !== undefined && !connection.failure && !connection.isDraining) return connection;
    return await (this.#connecting ??= this.#connect().finally(() => this.#connecting = undefined));
  }

  async #connect(): Promise<WorkerConnection> {
    const connection = await WorkerConnection.open(this.socket, this.#options, this.#options.timeoutMs);
    if (this.#closed) {
      connection.close();
      throw disposedError("the client");
    }
    this.#models = new Map();
    this.#known.clear(); // another worker may number its models in another way
    return this.#connection = connection; // one that drains ends by itself, when it has answered
  }

  #describe(connection: WorkerConnection, { name, version, key }: ModelName): Promise<RemoteModel> {
    const models = this.#models;
    let found = models.get(key);
    if (found !== undefined) return found;
    found = this.#call(connection, "model", { name, version }).then((result) => {
      const remote = new RemoteModel(checkDescription(result));
      this.#known.set(key, remote);
      return remote;
    });
    models.set(key, found);
    found.catch(() => models.delete(key));
    return found;
  }
}

/** Runs a model with tensors as bytes: they are copied at once. */
async function inferBytes(
  connection: WorkerConnection,
  remote: RemoteModel,
  feeds: Feeds,
  options: CallOptions,
): Promise<Tensors> {
  checkCallOptions(options);
  using call = new BytesCall(remote, feeds, options, true);
  return call.collect(await connection.infer(call.body, options));
}
