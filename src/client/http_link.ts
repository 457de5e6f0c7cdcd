import { disposedError, typeError, WorkerError } from "../errors.ts";
import { isRegionName } from "../memory/region_file.ts";
import { unlessAborted } from "../ort/unless_aborted.ts";
import { type CallOptions, checkCallOptions } from "../protocol/call_options.ts";
import type { Priority } from "../protocol/lane_layout.ts";
import { joinParts } from "../protocol/oip/body.ts";
import { encodeInferRequest } from "../protocol/oip/infer_request.ts";
import { decodeInferResponse, type InferResponse } from "../protocol/oip/infer_response.ts";
import { violation } from "../protocol/frames.ts";
import type { ModelDescription } from "../protocol/remote_model.ts";
import type { WorkerStatus } from "../protocol/status.ts";
import { timeLimit } from "../protocol/time_limit.ts";
import { Turns } from "../protocol/turns.ts";
import type { Feeds } from "../session/run_options.ts";
import type { Tensors } from "../session/tensors.ts";
import { HttpCall, type RegionNames } from "./http_call.ts";
import type { HttpEndpoint } from "./http_endpoint.ts";
import { answerError, isRefusal } from "./http_failure.ts";
import { HttpModels, jsonOf, type ServedModel } from "./http_models.ts";
import { HttpRegions } from "./http_regions.ts";
import { type HttpAnswer, type HttpRequest, HttpTransport, MOST_INFERENCE_BYTES } from "./http_transport.ts";
import { type Link, MAY_BE_CHANGED, type ModelName } from "./link.ts";
import { type Retry, retrying } from "./retry.ts";

/** How a client uses a server. */
export interface HttpLinkOptions {
  readonly retry: Retry;
  /** For how long a request may take, in ms. */
  readonly timeoutMs: number;
  readonly sharesMemory: boolean;
  readonly token: string | undefined;
}

/** Until when a request may take, and what stops it. */
interface Limit {
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
}

/** Inferences in flight; more wait their turn. */
const MOST_INFERENCES = 128;
/** Times of waiting in a queue that are sent, in ms; a longer one is none. */
const MOST_QUEUE_MS = 2 ** 31;
const HEADER_LENGTH = "inference-header-content-length";
/** 1 is the first of all, and 0 what is usual. */
const PRIORITY: Readonly<Record<Priority, number>> = { high: 1, normal: 0, low: 3 };
/** What servers answer that have no status to tell. */
const WITHOUT_STATUS: readonly number[] = [400, 404, 405, 501];
const NAMELESS: RegionNames = () => undefined;

/** A server of the Open Inference Protocol. It may be many behind one address: nothing is the connection's. */
export class HttpLink implements Link {
  readonly #endpoint: HttpEndpoint;
  readonly #options: HttpLinkOptions;
  readonly #transport: HttpTransport;
  readonly #models: HttpModels;
  readonly #regions: HttpRegions;
  readonly #turns = new Turns();
  readonly #closing = new AbortController();
  #inferences = 0;

  constructor(endpoint: HttpEndpoint, options: HttpLinkOptions) {
    this.#endpoint = endpoint;
    this.#options = options;
    this.#transport = new HttpTransport(endpoint.base, options.token);
    this.#models = new HttpModels(endpoint.base, (path) => this.#get(path));
    this.#regions = new HttpRegions(this.#transport);
  }

  /** Asks who is there. */
  async connect(): Promise<void> {
    await this.#within({}, (limit) => this.#retrying(limit, true, () => this.#models.abilities()));
  }

  async describe(model: ModelName): Promise<ModelDescription> {
    const { remote } = await this.#within({}, (limit) => this.#described(model, limit));
    return remote.description;
  }

  async health(): Promise<boolean> {
    return (await this.#get("/v2/health/ready")).status === 200;
  }

  async status(): Promise<WorkerStatus> {
    const ask = async (): Promise<HttpAnswer> => {
      const answer = await this.#get("/v2/coload/status");
      if (answer.status === 200 || WITHOUT_STATUS.includes(answer.status)) return answer;
      throw answerError(this.#endpoint.base, answer);
    };
    const answer = await this.#within({}, (limit) => this.#retrying(limit, true, ask));
    if (answer.status === 200) return jsonOf(answer) as WorkerStatus;
    const message =
      "Cannot tell the status: a server of the Open Inference Protocol tells none, unless it is a worker " +
      `of Coload's, and the one at ${this.#endpoint.base} answers ${answer.status}`;
    throw typeError("UNSUPPORTED", message);
  }

  async run(model: ModelName, feeds: Feeds, given: CallOptions | undefined): Promise<Tensors> {
    const options = given ?? {};
    checkCallOptions(options);
    if (options.sequence !== undefined) {
      throw typeError(
        "UNSUPPORTED",
        "Cannot keep a sequence over HTTP: the protocol tells no client which inputs a server keeps",
      );
    }
    return await this.#within(options, async (limit) => {
      const known = this.#models.known(model);
      if (known === undefined) return await this.#runBy(await this.#described(model, limit), feeds, options, limit);
      try {
        return await this.#runBy(known, feeds, options, limit);
      } catch (error) {
        const current = await this.#changed(model, known, error, limit);
        if (current === undefined) throw error;
        return await this.#runBy(current, feeds, options, limit); // by what the model wants now
      }
    });
  }

  runSync(): Tensors {
    throw typeError("UNSUPPORTED", "Cannot run over HTTP while this thread waits: use run");
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const reason = new WorkerError("WORKER_UNAVAILABLE", "The client was closed");
    this.#closing.abort(reason);
    this.#transport.stop(reason);
    this.#turns.end();
    await this.#regions.close();
    this.#transport[Symbol.dispose]();
  }

  /** Does something within the time that it may take. */
  async #within<T>(
    { signal, timeoutMs = this.#options.timeoutMs }: CallOptions,
    work: (limit: Limit) => Promise<T>,
  ): Promise<T> {
    this.#checkOpen();
    signal?.throwIfAborted();
    if (timeoutMs === Infinity) return await work({ deadline: Infinity, signal });
    using late = timeLimit(timeoutMs, signal);
    return await work({ deadline: performance.now() + timeoutMs, signal: late.signal });
  }

  #retrying<T>({ deadline, signal }: Limit, mayRepeat: boolean, work: () => Promise<T>): Promise<T> {
    return retrying(() => unlessAborted(work(), signal), this.#options.retry, { mayRepeat, deadline, signal });
  }

  #described(model: ModelName, limit: Limit): Promise<ServedModel> {
    return this.#retrying(limit, true, () => this.#models.describe(model));
  }

  /** What the server tells of a model by now, if that is something else, and may be why a request failed. */
  async #changed(
    model: ModelName,
    before: ServedModel,
    error: unknown,
    { signal }: Limit,
  ): Promise<ServedModel | undefined> {
    if (!isRefusal(error) && !MAY_BE_CHANGED.includes((error as { code?: unknown })?.code)) return undefined;
    const current = await unlessAborted(this.#models.describeAnew(model, before), signal);
    return current.print === before.print ? undefined : current;
  }

  /** Runs a model by what is known of it. What lies in the heap is read before this returns, or copied. */
  async #runBy(served: ServedModel, feeds: Feeds, options: CallOptions, limit: Limit): Promise<Tensors> {
    const { remote, abilities } = served;
    const maps = this.#options.sharesMemory && this.#endpoint.isLoopback && abilities.mapsRegions;
    using call = new HttpCall(remote, feeds, options, (region) => maps && isRegionName(region));
    if (!abilities.isBinary) call.checkJson();
    if (call.regions.length === 0) return await this.#infer(served, call, NAMELESS, options, limit);
    await unlessAborted(this.#regions.register(call.regions), limit.signal);
    const named = call.regions.filter((region) => this.#regions.nameOf(region) !== undefined);
    const names = new Map(named.map((region) => [region, this.#regions.nameOf(region)]));
    try {
      const tensors = await this.#infer(served, call, (region) => names.get(region), options, limit);
      this.#regions.used(named);
      return tensors;
    } catch (error) {
      if (named.length === 0 || !isRefusal(error)) throw error;
      const tensors = await this.#infer(served, call, NAMELESS, options, limit);
      this.#regions.lost(named); // as it was nothing else that was refused
      return tensors;
    }
  }

  async #infer(
    { path, abilities: { isBinary } }: ServedModel,
    call: HttpCall,
    nameOf: RegionNames,
    { priority = "normal", queueTimeoutMs = Infinity, idempotent = this.#options.retry.idempotent }: CallOptions,
    limit: Limit,
  ): Promise<Tensors> {
    const outputs = call.outputs(nameOf, isBinary),
      asked = {
        id: undefined,
        inputs: call.inputs(nameOf),
        outputs,
        isBinaryByDefault: isBinary && outputs === undefined,
        priority: PRIORITY[priority],
        timeoutMicros: queueTimeoutMs > MOST_QUEUE_MS ? 0 : Math.ceil(queueTimeoutMs * 1000),
        sequence: undefined,
      };
    const { headerLength, parts } = encodeInferRequest(asked, { isJson: !isBinary });
    const headers: Record<string, string> = headerLength === undefined
      ? { "content-type": "application/json" }
      : { "content-type": "application/octet-stream", [HEADER_LENGTH]: String(headerLength) };
    const body = joinParts(parts), mostBytes = MOST_INFERENCE_BYTES;
    const request: HttpRequest = { method: "POST", path: `${path}/infer`, headers, body, mostBytes };
    const send = call.isWritten(nameOf)
      ? () => this.#sendToEnd(request, call, limit)
      : () => this.#send(request, limit);
    const answer = await this.#retrying(limit, idempotent, () => this.#inTurn(send, limit));
    return call.collect(decodeAnswer(answer), nameOf);
  }

  async #inTurn(send: () => Promise<HttpAnswer>, { signal }: Limit): Promise<HttpAnswer> {
    while (this.#inferences >= MOST_INFERENCES && !this.#closing.signal.aborted) await this.#turns.wait(signal);
    this.#checkOpen();
    this.#inferences++;
    try {
      const answer = await send();
      if (answer.status === 200) return answer;
      throw answerError(this.#endpoint.base, answer);
    } finally {
      this.#inferences--;
      this.#turns.pass();
    }
  }

  #send(request: HttpRequest, { signal }: Limit): Promise<HttpAnswer> {
    return this.#transport.send(request, signal);
  }

  /** The same, where the server writes memory of this process: who gives it up does so alone, the memory stays in use. */
  #sendToEnd(request: HttpRequest, call: HttpCall, { signal }: Limit): Promise<HttpAnswer> {
    const answered = this.#transport.sendToEnd(request);
    call.keepUntil(answered);
    return unlessAborted(unlessAborted(answered, signal), this.#closing.signal);
  }

  async #get(path: string): Promise<HttpAnswer> {
    this.#checkOpen();
    const { timeoutMs } = this.#options;
    if (timeoutMs === Infinity) return await this.#transport.send({ method: "GET", path });
    using late = timeLimit(timeoutMs);
    return await this.#transport.send({ method: "GET", path }, late.signal);
  }

  #checkOpen(): void {
    if (this.#closing.signal.aborted) throw disposedError("the client");
  }
}

/** @throws {WorkerError} WORKER_PROTOCOL */
function decodeAnswer({ headers, body }: HttpAnswer): InferResponse {
  const given = headers[HEADER_LENGTH];
  if (given === undefined) return decodeInferResponse(body, undefined);
  if (typeof given !== "string" || !/^\d{1,15}$/.test(given)) throw violation(`${HEADER_LENGTH} is no number`);
  return decodeInferResponse(body, Number(given));
}
