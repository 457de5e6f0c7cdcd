import { WorkerError } from "../errors.ts";
import { violation } from "../protocol/frames.ts";
import { decodeModelMetadata } from "../protocol/oip/model_metadata.ts";
import { RemoteModel } from "../protocol/remote_model.ts";
import { modelPath } from "./http_endpoint.ts";
import { answerError, isRefusal } from "./http_failure.ts";
import type { HttpAnswer } from "./http_transport.ts";
import type { ModelName } from "./link.ts";

/** What a server says that it can. */
export interface ServerAbilities {
  /** Whether it takes and gives tensors as bytes, and not only as JSON. */
  readonly isBinary: boolean;
  /** Whether it maps shared memory that it is told of. */
  readonly mapsRegions: boolean;
}

/** A model, as its server tells of it. */
export interface ServedModel {
  readonly remote: RemoteModel;
  readonly path: string;
  readonly abilities: ServerAbilities;
  /** Another where something else is told. */
  readonly print: string;
}

interface Entry {
  readonly asked: Promise<ServedModel>;
  told: ServedModel | undefined;
}

const decoder = new TextDecoder();

/** The JSON of an answer. @throws {WorkerError} WORKER_PROTOCOL */
export function jsonOf({ body }: HttpAnswer): unknown {
  try {
    return JSON.parse(decoder.decode(body));
  } catch (cause) {
    throw violation("JSON wanted in an answer", { cause });
  }
}

/** What a server tells of itself and of its models, each asked for once. */
export class HttpModels {
  readonly #base: string;
  readonly #get: (path: string) => Promise<HttpAnswer>;
  #abilities: Promise<ServerAbilities> | undefined;
  readonly #entries = new Map<string, Entry>();

  /** @param get asks for something; whatever the status of the answer */
  constructor(base: string, get: (path: string) => Promise<HttpAnswer>) {
    this.#base = base;
    this.#get = get;
  }

  /** What the server can. @throws {WorkerError} WORKER_PROTOCOL where it is none of the protocol */
  abilities(): Promise<ServerAbilities> {
    if (this.#abilities !== undefined) return this.#abilities;
    const asked = this.#abilities = this.#askAbilities();
    asked.catch(() => {
      if (this.#abilities === asked) this.#abilities = undefined;
    });
    return asked;
  }

  /** What was told of a model, if anything was. */
  known({ key }: ModelName): ServedModel | undefined {
    return this.#entries.get(key)?.told;
  }

  /** What is told of a model. @throws {WorkerError} UNKNOWN_MODEL */
  describe(model: ModelName): Promise<ServedModel> {
    const { key } = model, found = this.#entries.get(key);
    if (found !== undefined) return found.asked;
    const entry: Entry = { asked: this.#askModel(model), told: undefined };
    this.#entries.set(key, entry);
    entry.asked.then((told) => entry.told = told, () => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    });
    return entry.asked;
  }

  /** The same, asked for anew unless that was done since something else was told. @throws {WorkerError} UNKNOWN_MODEL */
  describeAnew(model: ModelName, before: ServedModel): Promise<ServedModel> {
    if (this.known(model) === before) {
      this.#entries.delete(model.key);
      this.#abilities = undefined;
    }
    return this.describe(model);
  }

  async #askAbilities(): Promise<ServerAbilities> {
    const answer = await this.#get("/v2");
    if (answer.status !== 200) {
      const error = answerError(this.#base, answer);
      if (!isRefusal(error)) throw error;
      const message = `There is no server of the Open Inference Protocol at ${this.#base}: it answers ${answer.status}`;
      throw new WorkerError("WORKER_PROTOCOL", message);
    }
    const { extensions } = (jsonOf(answer) ?? {}) as { extensions?: unknown };
    const known = Array.isArray(extensions) ? extensions : [];
    return { isBinary: known.includes("binary_tensor_data"), mapsRegions: known.includes("system_shared_memory") };
  }

  async #askModel(model: ModelName): Promise<ServedModel> {
    const path = modelPath(model), [abilities, answer] = await Promise.all([this.abilities(), this.#get(path)]);
    if (answer.status !== 200) throw answerError(this.#base, answer);
    const { name, versions, inputs, outputs } = decodeModelMetadata(jsonOf(answer));
    const version = model.version ?? versions.at(-1) ?? "";
    const description = { index: 0, revision: 0, name, version, inputs, outputs, overridable: [], state: [] };
    return {
      remote: new RemoteModel(description),
      path,
      abilities,
      print: JSON.stringify([versions, inputs, outputs, abilities]),
    };
  }
}
