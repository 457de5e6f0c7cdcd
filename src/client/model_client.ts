import process from "node:process";
import { rangeError, typeError, WorkerError } from "../errors.ts";
import type { CallOptions } from "../protocol/call_options.ts";
import { defaultSocket, socketPath } from "../protocol/endpoint.ts";
import type { WorkerStatus } from "../protocol/status.ts";
import type { Feeds } from "../session/run_options.ts";
import type { Tensors } from "../session/tensors.ts";
import { makeRemoteSession, type RemoteSession } from "./remote_session.ts";
import { checkRetry, type RetryOptions } from "./retry.ts";
import { streamInOrder } from "./stream_in_order.ts";
import { modelName, WorkerLink } from "./worker_link.ts";

/** Options of {@linkcode ModelClient.connect}. */
export interface ClientOptions {
  /** What is tried again when the worker is away or busy. Default: nothing, but each request connects anew if need be. */
  retry?: RetryOptions;
  /** For how long a request may take, in ms. Default: without an end. */
  timeoutMs?: number;
  /** Whether tensors go through shared memory. Default: `true`; where there is none, they go as bytes. */
  sharedMemory?: boolean;
  /** What the worker calls this client. Default: the name of the program. */
  name?: string;
}

/** Options of {@linkcode ModelClient.infer}. */
export interface InferOptions extends CallOptions {
  /** The model's version. Default: whichever the worker has. */
  version?: string;
}

/**
 * Runs models that a worker owns, in another process of this machine and user.
 *
 * @example
 * ```ts
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { Tensor } from "@coload/onnx";
 * import { ModelClient } from "@coload/onnx/client";
 * import { ModelWorker } from "@coload/onnx/worker";
 *
 * const path = new URL(import.meta.resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx")).pathname;
 * const socket = join(tmpdir(), `coload-example-${crypto.randomUUID()}.sock`);
 * await using worker = await ModelWorker.serve({ models: { vad: path }, socket }); // elsewhere: coload serve vad=...
 *
 * await using client = await ModelClient.connect(socket, { retry: { attempts: 5 }, timeoutMs: 1000 });
 * await using vad = await client.model("vad"); // the same interface as a session's
 * const input = Tensor.from(new Float32Array(512), [1, 512]);
 * const state = Tensor.zeros("float32", [2, 1, 128]);
 * const sr = Tensor.from([16000], [], "int64");
 * using out = await vad.run({ input, state, sr });
 * console.log(out.output.as("float32").data[0], vad.runSync({ input, state, sr }).output.size);
 * ```
 */
export class ModelClient implements AsyncDisposable {
  readonly #link: WorkerLink;

  private constructor(link: WorkerLink) {
    this.#link = link;
  }

  /**
   * Connects to a worker, waiting for it as the retries allow.
   *
   * @param endpoint a path, or `unix:` and a path. Default: where workers listen that were told no path
   * @throws {WorkerError} WORKER_UNAVAILABLE, WORKER_PROTOCOL, WORKER_BUSY, WORKER_TIMEOUT
   * @throws {SystemError} SOCKET_PATH for a path that is too long
   * @throws {TypeError | RangeError} for bad options; UNSUPPORTED for an endpoint of another kind
   */
  static async connect(endpoint: string = defaultSocket(), options: ClientOptions = {}): Promise<ModelClient> {
    checkClientOptions(options);
    const { retry, timeoutMs = Infinity, sharedMemory: sharesMemory = true, name = programName() } = options;
    const link = new WorkerLink(socketPath(endpoint), { retry: checkRetry(retry), timeoutMs, sharesMemory, name });
    await link.connect();
    return new ModelClient(link);
  }

  /**
   * A model of the worker's, which loads it if need be.
   *
   * @returns the same interface as a session's; its runs take the options of {@linkcode InferOptions}
   * @throws {WorkerError} UNKNOWN_MODEL, and as {@linkcode ModelClient.infer}
   */
  async model(name: string, version?: string): Promise<RemoteSession> {
    checkName(name, version);
    const model = modelName(name, version);
    return makeRemoteSession(this.#link, model, await this.#link.describe(model));
  }

  /**
   * Runs a model. Tensors in shared memory are not copied, others are copied once.
   *
   * @throws as `InferenceSession.run` rejects
   * @throws {WorkerError} UNKNOWN_MODEL; WORKER_DIED, WORKER_UNAVAILABLE, WORKER_TIMEOUT, WORKER_BUSY, WORKER_PROTOCOL
   */
  async infer(model: string, feeds: Feeds, options: InferOptions = {}): Promise<Tensors> {
    const { version, ...given } = options;
    checkName(model, version);
    return await this.#link.run(modelName(model, version), feeds, given);
  }

  /**
   * Runs a model on each of many inputs, some of them at once, and gives the results in the order of the inputs. The
   * caller owns each result. Leaving the loop stops what is in flight; so does the first failure, which is thrown.
   *
   * @throws as {@linkcode ModelClient.infer}; what the inputs throw
   */
  inferStream(
    model: string,
    inputs: AsyncIterable<Feeds> | Iterable<Feeds>,
    options: InferOptions & { maxInFlight?: number } = {},
  ): AsyncIterable<Tensors> {
    const { maxInFlight = 8, ...given } = options;
    if (!Number.isInteger(maxInFlight) || maxInFlight < 1) {
      throw rangeError("OUT_OF_RANGE", `Cannot stream: a maxInFlight from 1 up wanted, ${maxInFlight} found`);
    }
    const run = (feeds: Feeds, signal: AbortSignal): Promise<Tensors> => this.infer(model, feeds, { ...given, signal });
    return streamInOrder(inputs, maxInFlight, run, given.signal);
  }

  /** Whether the worker answers, and takes requests. */
  async health(): Promise<boolean> {
    try {
      return await this.#link.callOnce("health") === true;
    } catch (error) {
      if (error instanceof WorkerError) return false;
      throw error;
    }
  }

  /** What the worker is doing. @throws {WorkerError} as {@linkcode ModelClient.infer} */
  async status(): Promise<WorkerStatus> {
    return await this.#link.call("status") as WorkerStatus;
  }

  /** Ends it: requests in flight fail with WORKER_UNAVAILABLE. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#link.close();
  }
}

const KNOWN = ["retry", "timeoutMs", "sharedMemory", "name"];

function checkClientOptions(options: ClientOptions): void {
  if (typeof options !== "object" || options === null) {
    throw typeError("INVALID_ARGUMENT", "Cannot connect: an object of options wanted");
  }
  const unknown = Object.keys(options).find((key) => !KNOWN.includes(key));
  if (unknown) throw typeError("INVALID_ARGUMENT", `Cannot connect: there is no option "${unknown}"`);
  const { timeoutMs } = options;
  if (timeoutMs !== undefined && !(typeof timeoutMs === "number" && timeoutMs > 0)) {
    throw rangeError("OUT_OF_RANGE", `Cannot connect: a timeoutMs above 0 wanted, ${timeoutMs} found`);
  }
}

function checkName(name: string, version: string | undefined): void {
  if (typeof name === "string" && (version === undefined || typeof version === "string")) return;
  throw typeError("INVALID_ARGUMENT", "The name of a model wanted, and its version if any, as texts");
}

const programName = (): string => (process.argv[1] ?? "").split("/").at(-1)!.slice(0, 100);
