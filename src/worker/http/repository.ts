import { OipError } from "../../protocol/oip/oip_error.ts";
import { checkModelName } from "../model_config.ts";
import type { ServedEntry, ServedModels } from "../served_models.ts";
import { type Call, json, nothing, type Reply } from "./call.ts";
import { readOverrides } from "./config_overrides.ts";
import { parseObject } from "./json_body.ts";

/** What the repository extension says of a model. */
interface IndexEntry {
  readonly name: string;
  readonly version: string;
  readonly state: "READY" | "UNAVAILABLE" | "LOADING" | "UNLOADING";
  readonly reason: string;
}

const STATES = { absent: "READY", ready: "READY", loading: "LOADING", failed: "UNAVAILABLE" } as const;

function indexEntry({ name, config: { version }, state, isWithdrawn, loading, problem }: ServedEntry): IndexEntry {
  if (!isWithdrawn || state === "loading") {
    return { name, version, state: STATES[state], reason: problem?.message ?? "" };
  }
  if (loading !== undefined) return { name, version, state: "UNLOADING", reason: "unloading" };
  return { name, version, state: "UNAVAILABLE", reason: "unloaded" };
}

/** The models as a repository: what there is, and, where callers may, what is loaded. */
export class Repository {
  readonly #models: ServedModels;
  readonly #mayControl: boolean;

  constructor(models: ServedModels, mayControl: boolean) {
    this.#models = models;
    this.#mayControl = mayControl;
  }

  /** Lists the models; those alone that are ready, if the body says so. */
  async index(call: Call): Promise<Reply> {
    const { ready } = parseObject(await call.body()), entries = this.#models.entries.map(indexEntry);
    if (ready !== undefined && typeof ready !== "boolean") throw new OipError(400, `"ready" is true or false`);
    return json(ready === true ? entries.filter(({ state }) => state === "READY") : entries);
  }

  /**
   * Loads a model, anew where its file was changed or it is to be served in another way: `parameters.config`.
   *
   * @throws {OipError} 400 where that fails: an older one serves on; 404
   */
  async load(call: Call): Promise<Reply> {
    const name = this.#controlled(call), { config } = readParameters(await call.body());
    try {
      await this.#models.restore(this.#models.entryOf(name), config === undefined ? {} : readOverrides(config));
    } catch (cause) {
      const { code, message } = cause as { readonly code?: unknown; readonly message: string };
      const status = cause instanceof OipError ? cause.status : code === "UNKNOWN_MODEL" ? 404 : 400;
      throw new OipError(status, `failed to load '${name}': ${message}`, { cause });
    }
    return nothing();
  }

  /** Unloads a model when what runs is answered: there is none of its name until it is loaded. */
  async unload(call: Call): Promise<Reply> {
    const name = this.#controlled(call);
    readParameters(await call.body());
    await this.#models.withdraw(this.#models.entryOf(name));
    return nothing();
  }

  /** The name that the path says. @throws {OipError} 403 where callers control nothing; 400 */
  #controlled({ params: { model: name } }: Call): string {
    if (!this.#mayControl) {
      throw new OipError(403, "Models are not loaded and unloaded by callers here: see --allow-repository-control");
    }
    try {
      checkModelName(name!);
    } catch (cause) {
      throw new OipError(400, (cause as Error).message, { cause });
    }
    return name!;
  }
}

/** @throws {OipError} 400; 501 for models that a request brings */
function readParameters(body: Uint8Array): Readonly<Record<string, unknown>> {
  const { parameters = {} } = parseObject(body);
  if (typeof parameters !== "object" || parameters === null) throw new OipError(400, `"parameters" is an object`);
  if (!Object.keys(parameters).some((key) => key.startsWith("file:"))) return parameters as Record<string, unknown>;
  throw new OipError(501, "Models come from the files that the worker was started with, and from no request");
}
