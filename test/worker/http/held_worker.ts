import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { type HttpOptions, ModelWorker } from "../../../src/worker/mod.ts";
import { slow } from "../../support/models.ts";
import { modelOf, Place, until } from "../support.ts";
import { type Answer, ask, type Question } from "./support.ts";

/** Of the model that holds the executor. */
export const HELD_SIZE = 64;
/** A request for that model that ends when its caller goes. */
export const ENDLESS: string = JSON.stringify({
  inputs: [
    { name: "x", shape: [HELD_SIZE], datatype: "FP32", data: new Array(HELD_SIZE).fill(0) },
    { name: "iterations", shape: [], datatype: "INT64", data: [2 ** 50] },
  ],
});

/** A worker with models, HTTP and one executor, which a test keeps busy for as long as it wants. */
export class HeldWorker implements AsyncDisposable {
  readonly place: Place;
  readonly worker: ModelWorker;
  readonly endpoint: string;
  readonly #agent = new http.Agent({ keepAlive: true });

  private constructor(place: Place, worker: ModelWorker) {
    this.place = place;
    this.worker = worker;
    this.endpoint = worker.endpoints.http!;
  }

  static async serve(
    models: Readonly<Record<string, Uint8Array>>,
    options: Omit<HttpOptions, "listen"> = {},
  ): Promise<HeldWorker> {
    const place = new Place();
    const located = Object.entries({ ...models, slow: slow(HELD_SIZE) }).map(([name, bytes]) =>
      [name, place.file(`${name}.onnx`, bytes)] as const
    );
    const worker = await ModelWorker.serve({
      models: Object.fromEntries(located),
      socket: place.socket,
      executors: 1,
      http: { ...options, listen: "127.0.0.1:0" },
    });
    return new HeldWorker(place, worker);
  }

  ask(path: string, question?: Question): Promise<Answer> {
    return ask(this.endpoint, path, { agent: this.#agent, ...question });
  }

  /** Posts JSON, which a text is already. */
  post(path: string, body: unknown = {}): Promise<Answer> {
    return this.ask(path, { body: typeof body === "string" ? body : JSON.stringify(body) });
  }

  infer(model: string, body: unknown): Promise<Answer> {
    return this.post(`/v2/models/${model}/infer`, body);
  }

  /** Keeps the executor busy until what is returned is disposed of. */
  async hold(): Promise<Disposable> {
    await until(this.worker, ({ state }) => state === "ready"); // what was answered before has ended as well
    const { hostname, port } = new URL(this.endpoint);
    const held = http.request({ host: hostname, port, path: "/v2/models/slow/infer", method: "POST", agent: false });
    held.on("error", () => {}); // it ends when its caller goes
    held.end(ENDLESS);
    await until(this.worker, ({ state, models }) => state === "busy" && models.every(({ queued }) => queued === 0));
    return { [Symbol.dispose]: () => void held.destroy() };
  }

  /** Waits until requests of a model wait, which are held up. */
  async waiting(model: string, requests = 1): Promise<void> {
    await until(this.worker, () => modelOf(this.worker, model).queued === requests);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker[Symbol.asyncDispose]();
    this.#agent.destroy();
    this.place[Symbol.dispose]();
  }
}

/** A tensor whose elements are in the JSON: four floats, unless it says otherwise. */
export const inline = (name: string, data: unknown, shape: readonly number[] = [4], datatype: string = "FP32") => ({
  name,
  shape,
  datatype,
  data,
});

/** The statuses of answers. */
export async function statuses(asked: readonly Promise<Answer>[]): Promise<number[]> {
  return (await Promise.all(asked)).map(({ status }) => status);
}

/** Long beyond what anything takes that a test waits for. */
const WATCHDOG_MS = 20_000;

/** Waits for what has no event. */
export async function eventually(isSo: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + WATCHDOG_MS; !await isSo(); await sleep(2)) {
    if (performance.now() > end) throw new Error(`it never came to be so: ${isSo}`);
  }
}
