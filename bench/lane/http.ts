/**
 * The peer of a call: Add behind HTTP on loopback, the tensors as the bytes of the bodies, with the runtime's two
 * servers and its two clients.
 */
import { Agent, request } from "node:http";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { InferenceSession, Tensor } from "../../mod.ts";
import { THREADS } from "../support/cases.ts";
import { calling, type Contestant } from "../support/contest.ts";
import { atEnd } from "../support/ending.ts";

const HOST = "127.0.0.1", FLOATS = 2, BYTES = 4 * FLOATS;

/** Runs Add on the bytes of both inputs, one after the other; the output's bytes are the same memory at each call. */
export async function openAdd(path: string): Promise<(body: Uint8Array) => Uint8Array<ArrayBuffer>> {
  const session = await InferenceSession.create(path, { intraOpNumThreads: THREADS });
  const [a, b, c] = [1, 2, 3].map(() => Tensor.zeros("float32", [FLOATS]));
  const feeds = { a: a!, b: b! }, options = { outputs: { c: c! } };
  const inputs = [a!, b!].map(({ data }) => new Uint8Array(data.buffer)), output = new Uint8Array(c!.data.buffer);
  return (body) => {
    for (const [i, input] of inputs.entries()) input.set(body.subarray(i * BYTES, (i + 1) * BYTES));
    session.runSync(feeds, options);
    return output;
  };
}

/** The server of requests and responses as the Fetch standard has them, a process that ends with its scope. */
export class FetchServer implements Disposable {
  readonly #process: ChildProcess;
  readonly #forget: () => void;
  readonly port: number;

  private constructor(child: ChildProcess, forget: () => void, port: number) {
    this.#process = child;
    this.#forget = forget;
    this.port = port;
  }

  /** Starts it on a core, with the model at a path. */
  static async start(path: string): Promise<FetchServer> {
    const script = fileURLToPath(new URL("../children/lane_http_fetch.ts", import.meta.url));
    const args = process.versions.bun ? ["run"] : ["serve", "-A", `--host=${HOST}`, "--port=0"];
    const env = { ...process.env, BENCH_MODEL: path, NO_COLOR: "1" };
    const child = spawn(process.execPath, [...args, script], { stdio: ["ignore", "pipe", "pipe"], env });
    const forget = atEnd(() => child.kill("SIGKILL"));
    const port = await new Promise<number>((resolve, reject) => {
      for (const output of [child.stdout!, child.stderr!]) {
        createInterface({ input: output }).on("line", (line) => {
          const port = /https?:\/\/[^:/]+:(\d+)/.exec(line)?.[1];
          if (port !== undefined) resolve(Number(port));
        });
      }
      child.on("close", (code, signal) => reject(new Error(`the HTTP server ended with ${code ?? signal}`)));
    });
    return new FetchServer(child, forget, port);
  }

  /** Has it run on some cores. */
  async ask<T>(_action: "pin", cores: string): Promise<T> {
    return await (await fetch(`http://${HOST}:${this.port}/pin?${cores}`)).json() as T;
  }

  [Symbol.dispose](): void {
    this.#process.kill("SIGKILL");
    this.#forget();
  }
}

const inputs = new Uint8Array(Float32Array.of(1, 1, 2, 2).buffer);

function checkSum(bytes: Uint8Array): void {
  if (bytes.length !== BYTES || bytes[3] !== 0x40 || bytes[2] !== 0x40) throw new Error(`1 + 2 is not ${bytes}`);
}

function byNodeHttp(agent: Agent, port: number): Promise<void> {
  const options = { host: HOST, port, agent, method: "POST", headers: { "content-length": inputs.length } };
  return new Promise((resolve, reject) => {
    request(options, (response) => {
      const chunks: Uint8Array[] = [];
      response.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      response.on("end", () => {
        checkSum(chunks[0]!);
        resolve();
      });
    }).on("error", reject).end(inputs);
  });
}

async function byFetch(url: string): Promise<void> {
  const response = await fetch(url, { method: "POST", body: inputs });
  checkSum(new Uint8Array(await response.arrayBuffer()));
}

/** Both clients of one server. */
export function httpClients(server: string, port: number, closing: DisposableStack): Contestant[] {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 }), url = `http://${HOST}:${port}/`;
  closing.defer(() => agent.destroy());
  return [
    calling(`HTTP, ${server}, fetch`, () => byFetch(url)),
    calling(`HTTP, ${server}, node:http client`, () => byNodeHttp(agent, port)),
  ];
}
