/** Requests of every kind, by hand, to a worker that must refuse them or be right. */
import assert from "node:assert/strict";
import type { RequestDescription, TensorDescription } from "../../../src/protocol/description.ts";
import { ANSWER, FLAG } from "../../../src/protocol/lane_layout.ts";
import { TemporaryFolder } from "../../cli/temporary_folder.ts";
import { WorkerProcess } from "./helper.ts";
import { type ModelName, writeModels } from "./models.ts";
import { type Answer, RawClient, type SlotWords } from "./raw_client.ts";
import { goodRequest } from "./requests.ts";

/** The models that the worker has, in their order. */
export const MODELS: readonly ModelName[] = ["add", "gather", "casts", "largest", "strings", "sum"];
/** Slots from here on are of requests that are good. */
const GOOD = 10;

/** What is changed in a good request. */
export interface Change {
  /** Of the first input, and the first output. */
  readonly input?: Partial<TensorDescription>;
  readonly output?: Partial<TensorDescription>;
  readonly request?: Partial<RequestDescription>;
  readonly words?: SlotWords;
}

/** A client that asks for what it should not, and its worker. */
export class Attacker implements AsyncDisposable {
  readonly client: RawClient;
  readonly #folder: TemporaryFolder;
  readonly #worker: WorkerProcess;

  private constructor(client: RawClient, worker: WorkerProcess, folder: TemporaryFolder) {
    this.client = client;
    this.#worker = worker;
    this.#folder = folder;
  }

  static async start(): Promise<Attacker> {
    const folder = new TemporaryFolder();
    const worker = await WorkerProcess.start({ models: writeModels(folder, MODELS), executors: 2 });
    const client = await RawClient.connect(worker.socket);
    await client.learn(MODELS);
    return new Attacker(client, worker, folder);
  }

  /** Runs a good request with something changed. */
  run(model: ModelName, { input, output, request, words }: Change): Answer {
    const good = goodRequest(model, 0), { inputs: [first, ...others], outputs: [result, ...more] } = good.request;
    good.fill(this.client);
    const changed = {
      inputs: [{ ...first!, ...input }, ...others],
      outputs: [{ ...result!, ...output }, ...more],
      sequence: good.request.sequence,
      ...request,
    };
    const flags = model === "sum" ? FLAG.own : 0;
    return this.client.run(0, changed, { model: MODELS.indexOf(model), flags, ...words });
  }

  /** That the worker still answers as it should. */
  assertServed(): void {
    MODELS.forEach((name, model) => {
      const slot = GOOD + model, good = goodRequest(name, slot), flags = name === "sum" ? FLAG.own : 0;
      good.fill(this.client);
      const { status } = this.client.run(slot, good.request, { model, flags });
      assert.ok(status === ANSWER.done && good.isRight(this.client), name);
    });
  }

  /** Ends both, which the worker does in peace. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    const end = await this.#worker.exit();
    await this.#worker[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
    assert.deepEqual(end, { code: 0, signal: null, stderr: "" });
  }
}
