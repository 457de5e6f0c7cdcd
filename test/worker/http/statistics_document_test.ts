import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { countedModels } from "../../../src/worker/http/counted_model.ts";
import { statisticsDocument } from "../../../src/worker/http/statistics_document.ts";
import { busyModel, modelStatus, statisticsOf, workerStatus } from "./counted.ts";

const NOTHING = { count: 0, ns: 0 };

describe("the document of statistics", () => {
  it("tells of a model that did nothing yet", () => {
    const { memory: _, loadedAt: __, ...status } = modelStatus({ state: "absent" });
    assert.deepEqual(statisticsDocument([{ status, statistics: statisticsOf() }]), {
      model_stats: [{
        name: "m",
        version: "1",
        last_inference: 0,
        inference_count: 0,
        execution_count: 0,
        inference_stats: {
          success: NOTHING,
          fail: NOTHING,
          queue: NOTHING,
          compute_input: NOTHING,
          compute_infer: NOTHING,
          compute_output: NOTHING,
          cache_hit: NOTHING,
          cache_miss: NOTHING,
        },
        batch_stats: [],
        memory_usage: [],
      }],
    });
  });

  it("tells what a model did, by requests, rows and runs", () => {
    const model = busyModel(), [found] = statisticsDocument([model]).model_stats;
    assert.deepEqual(found, {
      name: "m",
      version: "1",
      last_inference: model.statistics.lastRunAt,
      inference_count: 101,
      execution_count: 2,
      inference_stats: {
        success: { count: 3, ns: 13_500_000 },
        fail: { count: 5, ns: 80_000_000 },
        queue: { count: 3, ns: 3_500_000 },
        compute_input: { count: 3, ns: 0 },
        compute_infer: { count: 3, ns: 10_000_000 },
        compute_output: { count: 3, ns: 0 },
        cache_hit: NOTHING,
        cache_miss: NOTHING,
      },
      batch_stats: [
        {
          batch_size: 1,
          compute_input: { count: 1, ns: 0 },
          compute_infer: { count: 1, ns: 2_000_000 },
          compute_output: { count: 1, ns: 0 },
        },
        {
          batch_size: 128,
          compute_input: { count: 1, ns: 0 },
          compute_infer: { count: 1, ns: 4_000_000 },
          compute_output: { count: 1, ns: 0 },
        },
      ],
      memory_usage: [{ type: "CPU", id: 0, byte_size: 1230 }],
    });
  });

  it("is of as many models as it is asked for", () => {
    assert.deepEqual(statisticsDocument([]), { model_stats: [] });
    const names = ["a", "b"].map((name) => modelStatus({ name }));
    const asked: number[] = [];
    const models = countedModels(workerStatus({ models: names }), {
      of(model) {
        asked.push(model);
        return statisticsOf();
      },
    });
    assert.deepEqual(asked, [0, 1]);
    assert.deepEqual(statisticsDocument(models).model_stats.map(({ name }) => name), ["a", "b"]);
  });
});
