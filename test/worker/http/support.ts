import http from "node:http";
import { connect, type Socket } from "node:net";
import type { HttpOptions, ModelConfig } from "../../../src/worker/mod.ts";
import { ModelWorker } from "../../../src/worker/mod.ts";
import { Place } from "../support.ts";

/** What was answered. */
export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Uint8Array;
  /** The body as text. */
  readonly text: string;
  /** The body as JSON. */
  // deno-lint-ignore no-explicit-any -- whatever the server says: the test looks
  readonly json: any;
}

/** What to ask. */
export interface Question {
  readonly method?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string | Uint8Array;
  readonly agent?: http.Agent;
}

/** Asks a server, byte for byte as it is said. */
export function ask(endpoint: string, path: string, question: Question = {}): Promise<Answer> {
  const { method = question.body === undefined ? "GET" : "POST", headers = {}, body, agent = false } = question;
  const { hostname, port } = new URL(endpoint);
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: hostname.replace(/^\[|\]$/g, ""), port, path, method, headers, agent },
      (found) => {
        const chunks: Uint8Array[] = [];
        found.on("data", (chunk) => chunks.push(chunk));
        found.on("error", reject);
        found.on("end", () => {
          const body = new Uint8Array(Buffer.concat(chunks)), text = new TextDecoder().decode(body);
          const { statusCode: status = 0, headers } = found;
          resolve({
            status,
            headers,
            body,
            text,
            get json() {
              return JSON.parse(text);
            },
          });
        });
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

/** A worker with models and HTTP, in this process. */
export async function serveHttp(
  models: Readonly<Record<string, Uint8Array | ModelConfig>>,
  options: Omit<HttpOptions, "listen"> = {},
) {
  const place = new Place();
  const located = Object.entries(models).map(([name, model]) =>
    [name, model instanceof Uint8Array ? place.file(`${name}.onnx`, model) : model] as const
  );
  const worker = await ModelWorker.serve({
    models: Object.fromEntries(located),
    socket: place.socket,
    executors: 1,
    http: { ...options, listen: "127.0.0.1:0" },
  });
  const endpoint = worker.endpoints.http!;
  return {
    place,
    worker,
    endpoint,
    ask: (path: string, question?: Question) => ask(endpoint, path, question),
    async [Symbol.asyncDispose]() {
      await worker[Symbol.asyncDispose]();
      place[Symbol.dispose]();
    },
  };
}

/** A connection on which a test says what no client of HTTP would. */
export async function rawConnection(endpoint: string): Promise<{ socket: Socket; closed: Promise<string> }> {
  const { hostname, port } = new URL(endpoint), socket = connect({ host: hostname, port: Number(port) });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  let text = "";
  const closed = new Promise<string>((resolve) => {
    socket.on("data", (chunk) => text += chunk.toString("latin1"));
    socket.on("error", () => {});
    socket.on("close", () => resolve(text));
  });
  return { socket, closed };
}

/** A body of JSON and what follows it, with the header that says where the JSON ends. */
export function withBinary(json: unknown, ...parts: Uint8Array[]): Required<Pick<Question, "headers" | "body">> {
  const head = new TextEncoder().encode(JSON.stringify(json));
  return {
    headers: { "inference-header-content-length": String(head.length) },
    body: new Uint8Array(Buffer.concat([head, ...parts])),
  };
}

/** The bytes of an array. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
