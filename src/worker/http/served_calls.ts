import { WorkerError } from "../../errors.ts";
import type { CallOptions } from "../../protocol/call_options.ts";
import { RemoteModel } from "../../protocol/remote_model.ts";
import type { Feeds } from "../../session/run_options.ts";
import type { Tensors } from "../../session/tensors.ts";
import type { Service } from "../connection.ts";
import type { LocalLane } from "../local_lane.ts";
import type { ServedEntry } from "../served_models.ts";

/** Requests at once, those that wait included: of each there is a body in memory. */
const MOST_CALLS = 4096;

/** Runs models for callers over HTTP by a lane within the worker: they share queues and batches with all others. */
export class ServedCalls {
  readonly #service: Service;
  readonly #lane: LocalLane;
  readonly #remotes: (RemoteModel | undefined)[] = [];
  #calls = 0;

  constructor(service: Service, lane: LocalLane) {
    this.#service = service;
    this.#lane = lane;
  }

  /** How many are not answered yet. */
  get inFlight(): number {
    return this.#calls;
  }

  /** The model of a name and version. @throws {WorkerError} UNKNOWN_MODEL */
  find(name: string, version: string | undefined): ServedEntry {
    return this.#service.models.find(name, version);
  }

  /** What feeds of a model are checked against; loads it if need be. @throws as `ServedModels.load` */
  async remote(entry: ServedEntry): Promise<RemoteModel> {
    this.find(entry.name, entry.config.version); // it may have been unloaded since
    const description = await this.#service.models.describe(entry), found = this.#remotes[entry.index];
    if (found?.description === description) return found;
    return this.#remotes[entry.index] = new RemoteModel(description);
  }

  /** Has an executor wake while a request is read. */
  expect(): void {
    if (this.#calls === 0) this.#lane.caller.expect();
  }

  /** Runs a model. @throws as `LaneCaller.run` */
  async run(entry: ServedEntry, feeds: Feeds, options: CallOptions): Promise<Tensors> {
    if (this.#service.isDraining) throw new WorkerError("WORKER_UNAVAILABLE", "The worker takes no more requests");
    if (this.#calls >= MOST_CALLS) throw new WorkerError("WORKER_BUSY", `${MOST_CALLS} requests wait already`);
    this.#calls++;
    try {
      return await this.#lane.caller.run(await this.remote(entry), feeds, options).catch(async (error) => {
        if ((error as { code?: unknown }).code !== "MODEL_CHANGED") throw error;
        return await this.#lane.caller.run(await this.remote(entry), feeds, options);
      });
    } finally {
      this.#calls--;
    }
  }
}
