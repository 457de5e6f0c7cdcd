import process from "node:process";
import { rangeError, typeError, WorkerError } from "../errors.ts";
import type { CallOptions } from "../protocol/call_options.ts";
import { defaultSocket, socketPath } from "../protocol/endpoint.ts";
import type { WorkerStatus } from "../protocol/status.ts";
import type { Feeds } from "../session/run_options.ts";
import type { Tensors } from "../session/tensors.ts";
import { httpEndpoint, isHttpEndpoint } from "./http_endpoint.ts";
import { type Link, modelName } from "./link.ts";
import { makeRemoteSession, type RemoteSession } from "./remote_session.ts";
import { checkRetry, type RetryOptions } from "./retry.ts";
import { streamInOrder } from "./stream_in_order.ts";
import { WorkerLink } from "./worker_link.ts";

/** Options of {@linkcode ModelClient.connect}. */
export interface ClientOptions {
  /** What is tried again when the worker is away or busy. Default: nothing, but each request connects anew if need be. */
  retry?: RetryOptions;
  /** For how long a request may take, in ms. Default: without an end. */
  timeoutMs?: number;
  /**
   * Whether tensors go through shared memory. Default: `true`; where there is none, they go as bytes. Over HTTP those
   * go through it that lie in named shared memory already, to servers of this machine that say they map it.
   */
  sharedMemory?: boolean;
  /** What the worker calls this client. Default: the name of the program. Over HTTP it is not told. */
  name?: string;
  /** What a server of HTTP lets this client in by: sent as `Authorization: Bearer`. */
  token?: string;
}

/** Options of {@linkcode ModelClient.infer}. */
export interface InferOptions extends CallOptions {
  /** The model's version. Default: whichever the worker has. */
  version?: string;
}

/**
 * Runs models that a worker owns, in another process of this machine and user, or any server of the Open Inference
 * Protocol over HTTP: a worker with an HTTP face, Triton, KServe, OpenVINO and others.
 *
 * Over HTTP tensors go as bytes by the extension for binary data; by that for system shared memory where they lie in
 * named regions and the server is on this machine; and as JSON to servers that have neither, which cannot carry float16
 * and bfloat16. There is no `runSync` and no `sequence`. To give a request up ends its connection; if the server is to
 * write into shared memory it goes on instead, and the memory stays in use until it is answered.
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
  readonly #link: Link;

  private constructor(link: Link) {
    this.#link = link;
  }

  /**
   * Connects to a worker or a server, waiting for it as the retries allow.
   *
   * @param endpoint a path, `unix:` and a path, or an address such as `http://127.0.0.1:8000` or `https://host/prefix`.
   * Default: where workers listen that were told no path
   * @throws {WorkerError} WORKER_UNAVAILABLE, WORKER_PROTOCOL, WORKER_BUSY, WORKER_TIMEOUT
   * @throws {SystemError} SOCKET_PATH for a path that is too long
   * @throws {TypeError | RangeError} for bad options, such as a token for a socket
   * @throws {NativeError} UNSUPPORTED for an endpoint of another kind
   */
  static async connect(endpoint: string = defaultSocket(), options: ClientOptions = {}): Promise<ModelClient> {
    checkClientOptions(options);
    const link = await linkTo(endpoint, options);
    try {
      await link.connect();
      return new ModelClient(link);
    } catch (error) {
      await link.close();
      throw error;
    }
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
   * Over HTTP a worker of Coload's answers with its errors. Of other servers the status decides: 404 is UNKNOWN_MODEL,
   * 408 and 504 WORKER_TIMEOUT, 429 WORKER_BUSY, 502 WORKER_DIED, 503 WORKER_BUSY in the server's own words and
   * WORKER_UNAVAILABLE otherwise; and WORKER_PROTOCOL with its words is everything else, such as 400 for what it refuses,
   * 401 for a wrong token and 500 for a run that failed.
   *
   * @throws as `InferenceSession.run` rejects
   * @throws {TypeError} UNSUPPORTED over HTTP for a sequence, and for what JSON cannot carry where there is only that
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
      return await this.#link.health();
    } catch (error) {
      if (error instanceof WorkerError) return false;
      throw error;
    }
  }

  /**
   * What the worker is doing.
   *
   * @throws {WorkerError} as {@linkcode ModelClient.infer}
   * @throws {TypeError} UNSUPPORTED for a server of HTTP that is no worker of Coload's: the protocol has no such thing
   */
  async status(): Promise<WorkerStatus> {
    return await this.#link.status();
  }

  /** Ends it: requests in flight fail with WORKER_UNAVAILABLE. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#link.close();
  }
}

const KNOWN = ["retry", "timeoutMs", "sharedMemory", "name", "token"];

async function linkTo(endpoint: string, options: ClientOptions): Promise<Link> {
  const { timeoutMs = Infinity, sharedMemory: sharesMemory = true, name = programName(), token } = options;
  const retry = checkRetry(options.retry);
  if (isHttpEndpoint(endpoint)) {
    const { HttpLink } = await import("./http_link.ts"); // who uses no HTTP loads none of it
    return new HttpLink(httpEndpoint(endpoint), { retry, timeoutMs, sharesMemory, token });
  }
  const socket = socketPath(endpoint);
  if (token === undefined) return new WorkerLink(socket, { retry, timeoutMs, sharesMemory, name });
  throw typeError("INVALID_ARGUMENT", "Cannot connect: a token is for HTTP, a socket lets in who is of its user");
}

function checkClientOptions(options: ClientOptions): void {
  if (typeof options !== "object" || options === null) {
    throw typeError("INVALID_ARGUMENT", "Cannot connect: an object of options wanted");
  }
  const unknown = Object.keys(options).find((key) => !KNOWN.includes(key));
  if (unknown) throw typeError("INVALID_ARGUMENT", `Cannot connect: there is no option "${unknown}"`);
  const { timeoutMs, token } = options;
  if (token !== undefined && !(typeof token === "string" && /^[\x21-\x7e]+$/.test(token))) {
    throw typeError("INVALID_ARGUMENT", "Cannot connect: a text of visible characters of ASCII wanted as token");
  }
  if (timeoutMs !== undefined && !(typeof timeoutMs === "number" && timeoutMs > 0)) {
    throw rangeError("OUT_OF_RANGE", `Cannot connect: a timeoutMs above 0 wanted, ${timeoutMs} found`);
  }
}

function checkName(name: string, version: string | undefined): void {
  if (typeof name === "string" && (version === undefined || typeof version === "string")) return;
  throw typeError("INVALID_ARGUMENT", "The name of a model wanted, and its version if any, as texts");
}

const programName = (): string => (process.argv[1] ?? "").split("/").at(-1)!.slice(0, 100);
