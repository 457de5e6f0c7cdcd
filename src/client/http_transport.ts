import { Agent, type ClientRequest, type IncomingMessage, request as requestPlain } from "node:http";
import { Agent as SecureAgent, request as requestSecure } from "node:https";
import type { Socket } from "node:net";
import { WorkerError } from "../errors.ts";
import { violation } from "../protocol/frames.ts";
import { joinParts } from "../protocol/oip/body.ts";
import { connectionError } from "./http_failure.ts";

/** Bytes of an answer that is metadata, an error or another document; one with more is refused. */
const MOST_DOCUMENT_BYTES = 16 * 2 ** 20;
/** Bytes of an inference's results; an answer with more is refused. */
export const MOST_INFERENCE_BYTES: number = 2 ** 31;

/** What is asked of a server. */
export interface HttpRequest {
  readonly method: "GET" | "POST";
  /** From `/v2` on. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Of an answer with what was asked for. Default: as of errors. */
  readonly mostBytes?: number;
}

/** What a server answers, whole. */
export interface HttpAnswer {
  readonly status: number;
  /** By their names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array<ArrayBuffer>;
}

/**
 * Sends requests, by connections that are kept for the next ones. Not by `fetch`: Deno's sends a request a second time
 * where a kept connection ends before the answer, though it may have run.
 */
export class HttpTransport implements Disposable {
  /** What stands before the paths. */
  readonly base: string;
  readonly #agent: Agent;
  readonly #send: typeof requestPlain;
  readonly #connected: "connect" | "secureConnect";
  readonly #headers: Readonly<Record<string, string>>;
  readonly #inFlight = new Set<AbortController>();
  readonly #unstoppable = new Set<Promise<unknown>>();
  readonly #sockets = new Set<Socket>();
  #isEnding = false;

  constructor(base: string, token: string | undefined) {
    const isSecure = base.startsWith("https:");
    this.base = base;
    this.#agent = new (isSecure ? SecureAgent : Agent)({ keepAlive: true });
    this.#send = isSecure ? requestSecure : requestPlain;
    this.#connected = isSecure ? "secureConnect" : "connect";
    this.#headers = { "user-agent": "coload", ...(token !== undefined && { authorization: `Bearer ${token}` }) };
  }

  /** @throws the signal's reason; {WorkerError} as `connectionError` */
  async send(request: HttpRequest, signal?: AbortSignal): Promise<HttpAnswer> {
    signal?.throwIfAborted();
    const stop = new AbortController(), abort = (): void => stop.abort(signal!.reason);
    signal?.addEventListener("abort", abort);
    this.#inFlight.add(stop);
    try {
      return await this.#exchange(request, stop.signal);
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#inFlight.delete(stop);
    }
  }

  /** The same for what nothing may stop before it is answered. @throws {WorkerError} */
  sendToEnd(request: HttpRequest): Promise<HttpAnswer> {
    const answered = this.#exchange(request, undefined), over = (): unknown => this.#unstoppable.delete(answered);
    this.#unstoppable.add(answered);
    answered.then(over, over);
    return answered;
  }

  /** Stops what is in flight. */
  stop(reason: Error): void {
    for (const stop of this.#inFlight) stop.abort(reason);
  }

  /** Ends the connections, as soon as all is answered that nothing may stop; for that the process does not stay. */
  [Symbol.dispose](): void {
    this.#isEnding = true;
    for (const socket of this.#sockets) socket.unref();
    Promise.allSettled(this.#unstoppable).then(() => this.#agent.destroy());
  }

  async #exchange(
    { method, path, headers, body, mostBytes = MOST_DOCUMENT_BYTES }: HttpRequest,
    stop: AbortSignal | undefined,
  ): Promise<HttpAnswer> {
    const length = method === "POST" ? { "content-length": String(body?.length ?? 0) } : {};
    const options = { method, agent: this.#agent, headers: { ...this.#headers, ...headers, ...length } };
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
    let outgoing: ClientRequest | undefined, socket: Socket | undefined, isSent = false;
    const fail = (error: Error): void => {
      reject(error instanceof WorkerError ? error : connectionError(this.base, error, isSent));
      outgoing?.destroy();
    };
    const abort = (): void => {
      reject(stop!.reason);
      outgoing?.destroy();
    };
    stop?.addEventListener("abort", abort);
    try {
      outgoing = this.#send(`${this.base}${path}`, options, (incoming) => {
        collect(incoming, incoming.statusCode === 200 ? mostBytes : MOST_DOCUMENT_BYTES).then(resolve, fail);
      });
      outgoing.on("error", fail);
      outgoing.on("socket", (given: Socket) => {
        socket = given;
        this.#sockets.add(socket);
        if (this.#isEnding) socket.unref();
        outgoing!.reusedSocket = false; // or Deno sends it again where that socket ends
        if (!socket.connecting) isSent = true;
        else socket.once(this.#connected, () => isSent = true);
      });
      outgoing.end(body);
      return await promise;
    } finally {
      stop?.removeEventListener("abort", abort);
      if (socket !== undefined) this.#sockets.delete(socket);
    }
  }
}

/** Takes an answer in. @throws {WorkerError} WORKER_PROTOCOL for one of more bytes, which is not read to its end */
function collect(incoming: IncomingMessage, mostBytes: number): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>(), pieces: Uint8Array[] = [];
  let length = 0;
  const isRefused = (byteLength: number): boolean => {
    if (!(byteLength > mostBytes)) return false;
    reject(violation(`an answer of more than ${mostBytes} bytes`));
    return true;
  };
  incoming.on("data", (piece: Uint8Array) => {
    if (!isRefused(length += piece.length)) pieces.push(piece);
  });
  incoming.on("error", reject);
  incoming.on("close", () => reject(new Error("the connection ended within the answer")));
  incoming.on("end", () => {
    const { statusCode, headers, complete } = incoming;
    if (complete) resolve({ status: statusCode!, headers, body: joinParts(pieces) });
  });
  isRefused(Number(incoming.headers["content-length"]));
  return promise;
}
