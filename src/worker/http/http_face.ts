import http, { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { SystemError } from "../../errors.ts";
import { Bodies, Body } from "./body.ts";
import { type Call, type Handler, joined, json, nothing, type Reply } from "./call.ts";
import { Connections } from "./connections.ts";
import { Deadlines } from "./deadlines.ts";
import { errorReply } from "./error_reply.ts";
import { Guard } from "./guard.ts";
import type { CompleteHttpOptions } from "./http_options.ts";
import { isOfThisUser } from "./peer_user.ts";
import { type Route, Routes } from "./routes.ts";
import { sendBody } from "./send_body.ts";

/** How long a caller may take to send what it began, in ms: its headers, and all of a request. */
const HEADERS_MS = 10_000, REQUEST_MS = 120_000, CHECK_MS = 1000;
/** For how long a connection may say nothing between two requests, and what callers are told of it. */
const KEEP_ALIVE_MS = 60_000,
  KEEP_ALIVE = { "keep-alive": `timeout=${KEEP_ALIVE_MS / 1000}` },
  CLOSE = { connection: "close" };
/** How often to look whether all is answered, in ms, and for how long. */
const CLOSE_LOOK_MS = 5, MOST_CLOSE_MS = 10_000;
/** Connections at once, and bytes of all requests that are not answered, and of answers that are not read. */
const MOST_CONNECTIONS = 16_384, MOST_BYTES_HELD: number = 512 << 20;

type Pack = (bytes: Uint8Array) => Promise<Uint8Array>;

const PACK: Readonly<Record<string, Pack>> = {
  __proto__: null as never,
  gzip: promisify(zlib.gzip) as Pack,
  deflate: promisify(zlib.deflate) as Pack,
};

const ignore = (): void => {};

/** Answers who brought no token by a status alone: what there is, and why it is not ready, are not for all to know. */
async function silently(handler: Handler, call: Call): Promise<Reply> {
  try {
    return await handler(call);
  } catch (error) {
    const { status } = errorReply(error);
    return json({ error: status === 404 ? "unknown" : "not ready" }, status);
  }
}

/** Answers HTTP by routes. */
export class HttpFace implements AsyncDisposable {
  readonly #server: http.Server;
  readonly #routes: Routes;
  readonly #guard: Guard;
  readonly #options: CompleteHttpOptions;
  readonly #bodies = new Bodies(MOST_BYTES_HELD);
  readonly #deadlines = new Deadlines();
  readonly #connections = new Connections(this.#deadlines, KEEP_ALIVE_MS + HEADERS_MS);
  #inFlight = 0;
  #isClosing = false;

  private constructor(routes: readonly Route[], options: CompleteHttpOptions) {
    this.#routes = new Routes(routes);
    this.#guard = new Guard(options);
    this.#options = options;
    this.#server = http.createServer(
      {
        headersTimeout: HEADERS_MS,
        requestTimeout: REQUEST_MS,
        keepAliveTimeout: 0, // a timer for each request: see Connections
        connectionsCheckingInterval: CHECK_MS,
      },
      (request, response) => void this.#take(request, response),
    );
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  /** Begins to listen. @throws {SystemError} HTTP_ADDRESS where that cannot be */
  static async open(routes: readonly Route[], options: CompleteHttpOptions): Promise<HttpFace> {
    const face = new HttpFace(routes, options), server = face.#server, { host, port } = options;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => {
        face.#deadlines[Symbol.dispose]();
        reject(new SystemError("HTTP_ADDRESS", `Cannot listen at ${host}:${port}: ${cause.message}`, { cause }));
      });
      server.listen(port, host, resolve);
    });
    server.on("error", () => {}); // a connection that could not be accepted
    return face;
  }

  /** Where it is reached. */
  get endpoint(): string {
    const { address, port, family } = this.#server.address() as AddressInfo;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  }

  /** Requests that are not answered yet. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Reads no more bodies, also not those that are on their way: what is whole is answered. */
  drain(): void {
    this.#bodies.close();
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController(), answered = this.#connections.begin(request.socket, () => gone.abort());
    for (const stream of [request, response]) stream.on("error", ignore); // the caller is gone
    if (answered === undefined) return;
    this.#inFlight++;
    response.once("close", () => {
      if (!response.writableFinished) gone.abort();
    });
    using body = new Body(request, this.#options.maxBodyBytes, this.#bodies);
    try {
      const reply = await this.#answer(request, body, gone.signal).catch(errorReply);
      const headers = { ...reply.headers, ...this.#guard.pageHeaders(request.headers) };
      if (!gone.signal.aborted) await this.#send(request, response, { ...reply, headers }, body.isLeft, gone.signal);
    } catch {
      response.destroy(); // there is nobody to be told
    } finally {
      answered();
      this.#inFlight--;
    }
  }

  async #answer(request: IncomingMessage, body: Body, signal: AbortSignal): Promise<Reply> {
    const { method = "", url = "", headers } = request;
    if (method === "OPTIONS" && headers["access-control-request-method"] !== undefined) return this.#allow(headers);
    const { route, params } = this.#routes.find(method, url);
    const isTrusted = this.#guard.check(headers, route.isOpen === true);
    const call: Call = {
      params,
      headers,
      signal,
      body: () => body.read(),
      hold: (bytes) => body.hold(bytes),
      holdAnswer: (bytes) => body.holdAnswer(bytes),
      isOfThisUser: () => isOfThisUser(request.socket),
    };
    if (!isTrusted) return await silently(route.handler, call);
    const reply = await route.handler(call), pack = PACK[headers["accept-encoding"] ?? ""]; // who takes that alone
    if (pack === undefined || reply.parts.length === 0) return reply;
    const packed = await pack(joined(reply.parts));
    return {
      ...reply,
      parts: [packed],
      headers: { ...reply.headers, "content-encoding": headers["accept-encoding"]! },
    };
  }

  /** Tells a browser what pages of allowed origins may ask for. @throws {OipError} 403 for others */
  #allow(headers: IncomingHttpHeaders): Reply {
    this.#guard.check(headers, true);
    const methods = "GET, POST", asked = headers["access-control-request-headers"];
    const allowed = { "access-control-allow-methods": methods, "access-control-max-age": "600" };
    return { ...nothing(), headers: { ...allowed, ...asked && { "access-control-allow-headers": asked } } };
  }

  async #send(
    { method }: IncomingMessage,
    response: ServerResponse,
    { status, headers, parts }: Reply,
    isBodyLeft: boolean,
    gone: AbortSignal,
  ): Promise<void> {
    const byteLength = parts.reduce((sum, { length }) => sum + length, 0), closes = isBodyLeft || this.#isClosing;
    response.writeHead(status, { ...headers, "content-length": byteLength, ...closes ? CLOSE : KEEP_ALIVE });
    await sendBody(response, method === "HEAD" ? [] : parts, gone, this.#deadlines);
  }

  /** Takes no more, closes what says nothing, and resolves when all is answered. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    for (const end = performance.now() + MOST_CLOSE_MS; this.#inFlight > 0 && performance.now() < end;) {
      await sleep(CLOSE_LOOK_MS);
    }
    this.#server.closeAllConnections();
    await closed;
    this.#deadlines[Symbol.dispose]();
  }
}
