import { models as registry } from "../../registry/model_registry.ts";
import { SharedMemoryAllocator } from "../../tensor/shared_memory_allocator.ts";
import type { Service } from "../connection.ts";
import type { ServedEntry } from "../served_models.ts";
import type { Statistics } from "../statistics.ts";
import { type Call, json, type Reply } from "./call.ts";
import type { ClientRegions } from "./client_regions.ts";
import { configDocument } from "./config_document.ts";
import { countedModels } from "./counted_model.ts";
import { METRICS_CONTENT_TYPE, metricsText } from "./metrics.ts";
import { statisticsDocument } from "./statistics_document.ts";

const encoder = new TextEncoder();

/** Says how models are served, and what was measured of them. */
export class Measures {
  readonly #service: Service;
  readonly #statistics: Statistics;
  readonly #regions: ClientRegions | undefined;

  constructor(service: Service, statistics: Statistics, regions: ClientRegions | undefined) {
    this.#service = service;
    this.#regions = regions;
    this.#statistics = statistics;
  }

  /** How a model is served. */
  async config(call: Call): Promise<Reply> {
    const entry = this.#entry(call);
    return json(configDocument(entry, await this.#service.models.describe(entry)));
  }

  /** What was counted, of the model that the path names or of all. */
  stats(call: Call): Reply {
    const models = countedModels(this.#service.status(), this.#statistics);
    return json(statisticsDocument(call.params.model === undefined ? models : [models[this.#entry(call).index]!]));
  }

  /** All metrics, for Prometheus. */
  async metrics(): Promise<Reply> {
    const status = this.#service.status(), { count = 0, byteLength = 0 } = this.#regions ?? {};
    const text = await metricsText({
      status,
      models: countedModels(status, this.#statistics),
      registry: registry.metrics(),
      allocator: SharedMemoryAllocator.default.metrics(),
      regions: { count, byteLength },
    });
    return { status: 200, headers: { "content-type": METRICS_CONTENT_TYPE }, parts: [encoder.encode(text)] };
  }

  #entry({ params: { model, version } }: Call): ServedEntry {
    return this.#service.models.find(model!, version);
  }
}
