import { Buffer } from "node:buffer";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";

/** A tensor as this server sees it. */
interface Wire {
  readonly name: string;
  readonly datatype: string;
  readonly shape: number[];
  readonly parameters?: Record<string, unknown>;
  readonly data?: unknown[];
}

/** A request that came, its JSON taken apart. */
export interface Came {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly json: Record<string, unknown>;
  readonly tail: Buffer;
}

/** Answers a request in place of the server. */
export type Answer = (came: Came, response: ServerResponse) => void;

interface Metadata {
  readonly inputs: readonly (readonly [name: string, datatype: string, shape: readonly number[]])[];
  readonly outputs: Metadata["inputs"];
}

const DATATYPES = "BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 BF16 BYTES".split(" ");
const BINARY = ["binary_tensor_data"];
const identity = (datatype: string, shape: readonly number[] = [-1]): Metadata => ({
  inputs: [["x", datatype, shape]],
  outputs: [["y", datatype, shape]],
});

/** What models there are at first: identities, but for `add`. */
const MODELS: Readonly<Record<string, Metadata>> = {
  add: { inputs: [["a", "FP32", [-1]], ["b", "FP32", [-1]]], outputs: [["c", "FP32", [-1]]] },
  ...Object.fromEntries(DATATYPES.map((datatype) => [datatype, identity(datatype)])),
  fixed: identity("FP32", [2]),
  untold: { inputs: [], outputs: [] },
};

/** A small server of the Open Inference Protocol, which shares no code with the client. */
export class OipServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly models: Record<string, Metadata> = { ...MODELS };
  /** By name, the file of /dev/shm. */
  readonly regions = new Map<string, string>();
  readonly came: Came[] = [];
  extensions: readonly string[] = BINARY;
  /** How many connections there were. */
  connections = 0;
  /** In place of the usual answer to inferences; `others` to all else. */
  inferences: Answer | undefined;
  others: Answer | undefined;

  private constructor() {
    this.#server = createServer((request, response) => void this.#take(request, response));
    this.#server.on("connection", (socket: Socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  /** One that listens, on any port unless one is named. */
  static async listen(port: number = 0): Promise<OipServer> {
    const server = new OipServer();
    await new Promise<void>((resolve) => server.#server.listen(port, "127.0.0.1", () => resolve()));
    return server;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The inferences that came. */
  get inferred(): Came[] {
    return this.came.filter(({ path }) => path.endsWith("/infer"));
  }

  /** How many connections there are now. */
  get open(): number {
    return this.#sockets.size;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    try {
      for await (const piece of request) pieces.push(piece as Buffer);
    } catch {
      return; // the client is gone
    }
    const body = Buffer.concat(pieces), { method, url, headers } = request;
    const length = Number(headers["inference-header-content-length"] ?? body.length);
    const json = body.length === 0 ? {} : JSON.parse(body.subarray(0, length).toString());
    const came = { method: method!, path: url!, headers, json, tail: body.subarray(length) };
    this.came.push(came);
    const isInference = came.path.endsWith("/infer"), instead = isInference ? this.inferences : this.others;
    if (instead) instead(came, response);
    else this.answer(came, response);
  }

  /** The usual answer. */
  answer(came: Came, response: ServerResponse): void {
    const [, , kind, ...rest] = came.path.split("/").map(decodeURIComponent);
    if (kind === undefined) return reply(response, 200, { name: "test", version: "1", extensions: this.extensions });
    if (came.path === "/v2/health/ready") return void response.end();
    if (kind === "systemsharedmemory") return this.#region(rest as string[], came, response);
    const metadata = kind === "models" ? this.models[rest[0]!] : undefined;
    if (metadata === undefined) return reply(response, 404, { error: `nothing at ${came.path}` });
    if (came.path.endsWith("/infer")) return this.#infer(rest[0]!, came, response);
    const list = (ports: Metadata["inputs"]) => ports.map(([name, datatype, shape]) => ({ name, datatype, shape }));
    const { inputs, outputs } = metadata;
    reply(response, 200, { name: rest[0], versions: ["1", "2"], inputs: list(inputs), outputs: list(outputs) });
  }

  #region([, name, what]: string[], { json }: Came, response: ServerResponse): void {
    if (what === "unregister") this.regions.delete(name!);
    else if (this.regions.has(name!)) return reply(response, 400, { error: "it is there already" });
    else this.regions.set(name!, `/dev/shm${json.key}`);
    response.end();
  }

  #infer(model: string, came: Came, response: ServerResponse): void {
    const inputs = came.json.inputs as Wire[], outputs = came.json.outputs as Wire[] | undefined;
    const found = this.#inputs(inputs, came.tail);
    if (found === undefined) return reply(response, 404, { error: "no such region" });
    const [bytes] = found, isAdd = this.models[model]!.outputs[0]?.[0] === "c";
    const result = isAdd
      ? Buffer.from(Float32Array.from(floatsOf(bytes!), (a, i) => a + floatsOf(found[1]!)[i]!).buffer)
      : bytes!;
    const { shape, datatype } = inputs[0]!, name = isAdd ? "c" : "y", tail: Buffer[] = [];
    const isBinary = (came.json.parameters as Wire["parameters"])?.binary_data_output;
    const wanted: Pick<Wire, "name" | "parameters">[] = outputs ?? [{ name, parameters: { binary_data: isBinary } }];
    const described = wanted.map((output) => {
      const { shared_memory_region: region, shared_memory_offset: offset, binary_data: isBinary } = output.parameters ??
        {};
      if (region !== undefined) {
        withFile(
          this.regions.get(region as string)!,
          "r+",
          (fd) => writeSync(fd, result, 0, result.length, Number(offset ?? 0)),
        );
        return { name: output.name, datatype, shape };
      }
      if (!isBinary) return { name: output.name, datatype, shape, data: dataOf(datatype, result) };
      tail.push(result);
      return { name: output.name, datatype, shape, parameters: { binary_data_size: result.length } };
    });
    reply(response, 200, { model_name: model, model_version: "2", outputs: described }, tail);
  }

  /** The inputs' bytes; `undefined` where a region is not there. */
  #inputs(inputs: readonly Wire[], tail: Buffer): Buffer[] | undefined {
    let at = 0;
    const found = inputs.map(({ data, datatype, parameters = {} }) => {
      const { shared_memory_region: region, shared_memory_byte_size: size, shared_memory_offset: offset } = parameters;
      if (data !== undefined) return bytesOf(datatype, data);
      if (region === undefined) return tail.subarray(at, at += parameters.binary_data_size as number);
      const file = this.regions.get(region as string), bytes = Buffer.alloc(Number(size));
      if (file === undefined) return undefined;
      withFile(file, "r", (fd) => readSync(fd, bytes, 0, bytes.length, Number(offset ?? 0)));
      return bytes;
    });
    return found.includes(undefined) ? undefined : found as Buffer[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** Answers in JSON, with what follows it if anything does. */
export function reply(response: ServerResponse, status: number, json: unknown, tail: readonly Buffer[] = []): void {
  const text = Buffer.from(JSON.stringify(json));
  if (tail.length > 0) response.setHeader("Inference-Header-Content-Length", text.length);
  response.writeHead(status).end(Buffer.concat([text, ...tail]));
}

function withFile(file: string, flags: string, work: (fd: number) => void): void {
  const fd = openSync(file, flags);
  work(fd);
  closeSync(fd);
}

function floatsOf(bytes: Buffer): number[] {
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

/** What JSON has of some datatypes. */
function dataOf(datatype: string, bytes: Buffer): unknown[] {
  if (datatype === "FP32") return floatsOf(bytes);
  if (datatype === "INT32") return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readInt32LE(4 * i));
  const texts: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 4 + bytes.readUInt32LE(at);
    texts.push(bytes.subarray(at + 4, at = end).toString());
  }
  return texts;
}

function bytesOf(datatype: string, data: readonly unknown[]): Buffer {
  if (datatype === "FP32") return Buffer.from(Float32Array.from(data as number[]).buffer);
  if (datatype === "INT32") return Buffer.from(Int32Array.from(data as number[]).buffer);
  return Buffer.concat((data as string[]).map((text) => {
    const bytes = Buffer.alloc(4 + Buffer.byteLength(text));
    bytes.writeUInt32LE(bytes.length - 4);
    bytes.write(text, 4);
    return bytes;
  }));
}
