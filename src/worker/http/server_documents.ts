import config from "../../../deno.json" with { type: "json" };
import { encodeModelMetadata } from "../../protocol/oip/model_metadata.ts";
import { OipError } from "../../protocol/oip/oip_error.ts";
import type { Service } from "../connection.ts";
import type { ServedEntry } from "../served_models.ts";
import { type Call, json, nothing, type Reply } from "./call.ts";
import type { CompleteHttpOptions } from "./http_options.ts";

/** Whether a model is not there that is to be: one that was there before comes again by itself. */
function isMissing({ state, isWithdrawn, loadedAt }: ServedEntry): boolean {
  return !isWithdrawn && (state === "failed" || (state === "loading" && loadedAt === 0));
}

/** Says what the server and its models are, and whether they are ready. */
export class ServerDocuments {
  readonly #service: Service;
  readonly #name: string;
  readonly #extensions: readonly string[];

  constructor(service: Service, options: CompleteHttpOptions) {
    this.#service = service;
    this.#name = options.serverName;
    this.#extensions = [
      "binary_tensor_data",
      "model_configuration",
      "model_repository",
      ...options.allowRepositoryControl ? ["model_repository(unload_dependents)"] : [],
      "schedule_policy",
      ...service.models.entries.some(({ config }) => Object.keys(config.state).length > 0) ? ["sequence"] : [],
      "statistics",
      ...options.allowClientSharedMemory ? ["system_shared_memory"] : [],
    ];
  }

  /** Name, version, extensions. */
  server(): Reply {
    return json({ name: this.#name, version: config.version, extensions: this.#extensions });
  }

  /** That it is alive. */
  live(): Reply {
    return nothing();
  }

  /** Whether it takes requests. */
  ready(): Reply {
    const { models, isDraining } = this.#service;
    if (isDraining) throw new OipError(400, "The server is draining");
    const missing = models.entries.find(isMissing);
    if (missing !== undefined) throw new OipError(400, `Model "${missing.name}" is ${missing.state}`);
    return nothing();
  }

  /** What Coload's own client calls the status. */
  status(): Reply {
    return json(this.#service.status());
  }

  /** Whether a model takes requests. */
  modelReady({ params: { model, version } }: Call): Reply {
    const { models, isDraining } = this.#service, entry = models.find(model!, version);
    if (isDraining) throw new OipError(400, "The server is draining");
    if (entry.state === "failed" || (entry.state === "loading" && entry.session === undefined)) {
      throw new OipError(400, `Model "${entry.name}" is ${entry.state}: ${entry.problem?.message ?? "not yet there"}`);
    }
    return nothing();
  }

  /** A model's inputs and outputs. */
  async model({ params: { model, version } }: Call): Promise<Reply> {
    const { models } = this.#service;
    return json(encodeModelMetadata(await models.describe(models.find(model!, version))));
  }
}
