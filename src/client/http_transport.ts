import { Agent, type ClientRequest, type IncomingMessage, request as requestPlain } from "node:http";
import { Agent as SecureAgent, request as requestSecure } from "node:https";
import type { Socket } from "node:net";
import { connectionError } from "./http_failure.ts";

/** What is asked of a server. */
export interface HttpRequest {
  readonly method: "GET" | "POST";
  /** From `/v2` on. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
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

  /** Ends the connections, as soon as all is answered that nothing may stop. */
  [Symbol.dispose](): void {
    Promise.allSettled(this.#unstoppable).then(() => this.#agent.destroy());
  }

  async #exchange({ method, path, headers, body }: HttpRequest, stop: AbortSignal | undefined): Promise<HttpAnswer> {
    const length = method === "POST" ? { "content-length": String(body?.length ?? 0) } : {};
    const options = { method, agent: this.#agent, headers: { ...this.#headers, ...headers, ...length } };
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
    let outgoing: ClientRequest | undefined, isSent = false;
    const fail = (error: Error): void => reject(connectionError(this.base, error, isSent));
    const abort = (): void => {
      reject(stop!.reason);
      outgoing?.destroy();
    };
    stop?.addEventListener("abort", abort);
    try {
      outgoing = this.#send(`${this.base}${path}`, options, (incoming) => collect(incoming).then(resolve, fail));
      outgoing.on("error", fail);
      outgoing.on("socket", (socket: Socket) => {
        outgoing!.reusedSocket = false; // or Deno sends it again where that socket ends
        if (!socket.connecting) isSent = true;
        else socket.once(this.#connected, () => isSent = true);
      });
      outgoing.end(body);
      return await promise;
    } finally {
      stop?.removeEventListener("abort", abort);
    }
  }
}

function collect(incoming: IncomingMessage): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>(), pieces: Uint8Array[] = [];
  incoming.on("data", (piece: Uint8Array) => pieces.push(piece));
  incoming.on("error", reject);
  incoming.on("close", () => reject(new Error("the connection ended within the answer")));
  incoming.on("end", () => {
    const { statusCode, headers, complete } = incoming;
    if (complete) resolve({ status: statusCode!, headers, body: joined(pieces) });
  });
  return promise;
}

/** Pieces in one array that nothing else shares. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
