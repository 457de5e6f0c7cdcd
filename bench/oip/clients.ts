/** Clients of HTTP that do no more than they must: what they take is on both sides of each comparison. */
import { Agent, request } from "node:http";
import { connect, type Socket } from "node:net";
import { joinParts } from "../../src/protocol/oip/body.ts";

/** A request that is made again and again. */
export interface Asked {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The body, in pieces. */
  readonly parts: readonly Uint8Array<ArrayBuffer>[];
}

/** What comes back. */
export interface Answer {
  /** Those that a server has to say about the body. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** One connection, which stays open from call to call. */
export interface Client extends Disposable {
  /** @throws unless the answer is a 200 */
  post(asked: Asked): Promise<Answer>;
}

/** The ways to ask. */
export const CLIENTS = ["node:http", "fetch", "node:net"] as const;
/** One of them. */
export type ClientKind = typeof CLIENTS[number];

/** Opens a client of a kind. */
export function openClient(kind: ClientKind): Client {
  return kind === "fetch" ? new FetchClient() : kind === "node:http" ? new HttpClient() : new SocketClient();
}

const decoder = new TextDecoder();
const KEPT = ["content-type", "inference-header-content-length"];

function refuse({ path }: Asked, status: number, body: Uint8Array): Error {
  return new Error(`${path} was answered by ${status}: ${decoder.decode(body.subarray(0, 500))}`);
}

/** Pieces in one. */
export function joined(parts: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  return parts.length === 1 ? parts[0]! : joinParts(parts);
}

const byteLength = ({ parts }: Asked): number => parts.reduce((sum, { length }) => sum + length, 0);

/** `node:http`. */
class HttpClient implements Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  post(asked: Asked): Promise<Answer> {
    const { host, port, path, parts } = asked, headers = { ...asked.headers, "content-length": byteLength(asked) };
    return new Promise((resolve, reject) => {
      const sent = request({ host, port, path, agent: this.#agent, method: "POST", headers }, (response) => {
        const chunks: Uint8Array<ArrayBuffer>[] = [];
        response.on("data", (chunk: Uint8Array<ArrayBuffer>) => chunks.push(chunk));
        response.on("end", () => {
          const body = joined(chunks), { statusCode, headers } = response;
          if (statusCode === 200) resolve({ headers: headers as Record<string, string>, body });
          else reject(refuse(asked, statusCode!, body));
        });
      });
      sent.on("error", reject);
      for (const part of parts.slice(0, -1)) sent.write(part);
      sent.end(parts.at(-1));
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

/** The runtime's `fetch`, which keeps connections open by itself. */
class FetchClient implements Client {
  async post(asked: Asked): Promise<Answer> {
    const { host, port, path, headers, parts } = asked;
    const response = await fetch(`http://${host}:${port}${path}`, { method: "POST", headers, body: joined(parts) });
    const body = new Uint8Array(await response.arrayBuffer());
    if (response.status !== 200) throw refuse(asked, response.status, body);
    const found = KEPT.map((name) => [name, response.headers.get(name)]).filter(([, value]) => value !== null);
    return { headers: Object.fromEntries(found), body };
  }

  [Symbol.dispose](): void {}
}

/** A socket, and what little of HTTP such answers need. */
class SocketClient implements Client {
  #socket: Socket | undefined;
  #asked: PromiseWithResolvers<Answer> & { readonly asked: Asked } | undefined;
  readonly #chunks: Uint8Array<ArrayBuffer>[] = [];
  #head: { readonly text: string; readonly status: number; readonly bodyAt: number; readonly end: number } | undefined;
  #received = 0;

  async post(asked: Asked): Promise<Answer> {
    const socket = this.#socket ??= await this.#connect(asked), { host, port, path, headers, parts } = asked;
    const fields = Object.entries({ host: `${host}:${port}`, ...headers, "content-length": byteLength(asked) });
    const head = `POST ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
    const waiting = this.#asked = { ...Promise.withResolvers<Answer>(), asked };
    socket.cork();
    socket.write(head, "latin1");
    for (const part of parts) socket.write(part);
    socket.uncork();
    return waiting.promise;
  }

  async #connect({ host, port }: Asked): Promise<Socket> {
    const socket = connect({ host, port, noDelay: true });
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    socket.on("error", (error) => this.#asked?.reject(error));
    socket.on("close", () => {
      this.#socket = undefined;
      this.#asked?.reject(new Error("the connection was closed"));
    });
    return socket.on("data", (chunk: Uint8Array<ArrayBuffer>) => this.#take(chunk));
  }

  #take(chunk: Uint8Array<ArrayBuffer>): void {
    this.#chunks.push(chunk);
    this.#received += chunk.length;
    const head = this.#head ??= this.#readHead();
    if (head === undefined || this.#received < head.end) return;
    const body = joined(this.#chunks.splice(0)).subarray(head.bodyAt), { asked, resolve, reject } = this.#asked!;
    const headers = KEPT.map((name) => [name, field(head.text, name)]).filter(([, value]) => value !== undefined);
    this.#head = this.#asked = undefined;
    this.#received = 0;
    if (head.status === 200) resolve({ headers: Object.fromEntries(headers), body });
    else reject(refuse(asked, head.status, body));
  }

  #readHead() {
    const text = decoder.decode(joined(this.#chunks)), bodyAt = text.indexOf("\r\n\r\n") + 4;
    if (bodyAt < 4) return undefined;
    const length = Number(field(text, "content-length"));
    return { text, status: Number(text.slice(9, 12)), bodyAt, end: bodyAt + length };
  }

  [Symbol.dispose](): void {
    this.#asked = undefined;
    this.#socket?.destroy();
  }
}

function field(head: string, name: string): string | undefined {
  return new RegExp(`\r\n${name}: *([^\r]*)`, "i").exec(head)?.[1];
}
