import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { METRICS_CONTENT_TYPE, type MetricSources, metricsText } from "../../../src/worker/http/metrics.ts";
import { busyModel, modelStatus, statisticsOf, workerStatus } from "./counted.ts";

const REGISTRY = {
  totalModels: 2,
  totalMemoryBytes: 5000,
  cacheHits: 7,
  cacheMisses: 3,
  hitRate: 0.7,
  loads: 2,
  evictions: 1,
  loadFailures: 1,
};
const ALLOCATOR = {
  label: "the allocator",
  maxBytes: Infinity,
  bytesInUse: 64,
  tensors: 1,
  backend: "named",
  arenas: 1,
  bytesReserved: 1 << 20,
  largestFreeBytes: 0,
  fragmentation: 0,
  scopes: [],
} as const;

function sources(parts: Partial<MetricSources> = {}): MetricSources {
  const client = { id: 0, pid: 1, name: "c", runtime: "bun", connectedAt: 1, queued: 0 };
  const clients = [true, true, false].map((sharesMemory) => ({ ...client, sharesMemory }));
  const models = [busyModel()];
  return {
    status: workerStatus({ clients, models: models.map(({ status }) => status) }),
    models,
    registry: REGISTRY,
    allocator: ALLOCATOR,
    regions: { count: 2, byteLength: 128 },
    ...parts,
  };
}

/** What a text says: values by their series, and types by the names of metrics. */
async function parsed(from: MetricSources): Promise<{ values: Map<string, number>; types: Map<string, string> }> {
  const values = new Map<string, number>(), types = new Map<string, string>();
  for (const line of (await metricsText(from)).split("\n")) {
    const [, type, kind] = /^# TYPE (\w+) (\w+)$/.exec(line) ?? [],
      [, series, value] = /^([^#].*) (\S+)$/.exec(line) ?? [];
    if (type !== undefined) {
      assert.ok(!types.has(type), type);
      types.set(type, kind!);
    } else if (series !== undefined) {
      assert.ok(!values.has(series) && Number.isFinite(Number(value)), line);
      values.set(series, Number(value));
    } else {
      assert.match(line, /^(# HELP \w+ \S.*)?$/);
    }
  }
  return { values, types };
}

describe("metrics", () => {
  it("tell of inferences by the field's names", async () => {
    const { values, types } = await parsed(sources()), model = '{model="m",version="1"}';
    const wanted = {
      [`nv_inference_request_success${model}`]: 3,
      'nv_inference_request_failure{model="m",reason="REJECTED",version="1"}': 2,
      'nv_inference_request_failure{model="m",reason="CANCELED",version="1"}': 1,
      'nv_inference_request_failure{model="m",reason="BACKEND",version="1"}': 1,
      'nv_inference_request_failure{model="m",reason="OTHER",version="1"}': 1,
      [`nv_inference_count${model}`]: 101,
      [`nv_inference_exec_count${model}`]: 2,
      [`nv_inference_request_duration_us${model}`]: 13_500,
      [`nv_inference_queue_duration_us${model}`]: 3500,
      [`nv_inference_compute_input_duration_us${model}`]: 0,
      [`nv_inference_compute_infer_duration_us${model}`]: 10_000,
      [`nv_inference_compute_output_duration_us${model}`]: 0,
      [`nv_inference_pending_request_count${model}`]: 3,
    };
    const found = [...values].filter(([series]) => series.startsWith("nv_"));
    assert.deepEqual(Object.fromEntries(found), wanted);
    for (const [name, type] of types) {
      if (name.startsWith("nv_")) assert.equal(type, name.includes("pending") ? "gauge" : "counter", name);
    }
  });

  it("tell of models, batches and memory", async () => {
    const { values } = await parsed(sources()), of = (series: string): number | undefined => values.get(series);
    const model = 'model="m",version="1"';
    assert.equal(of(`coload_model_memory_bytes{${model},kind="weights"}`), 1000);
    assert.equal(of(`coload_model_memory_bytes{${model},kind="shared"}`), 200);
    assert.equal(of(`coload_model_memory_bytes{${model},kind="arena"}`), 30);
    assert.equal(of(`coload_model_state{${model},state="ready"}`), 1);
    assert.equal(of(`coload_model_state{${model},state="absent"}`), 0);
    assert.equal(of(`coload_batched_requests_total{${model}}`), 2);
    assert.equal(of(`coload_executions_total{${model},batch_size="1"}`), 1);
    assert.equal(of(`coload_executions_total{${model},batch_size="128"}`), 1);
    assert.equal(of(`coload_execution_seconds_total{${model}}`), 0.006);
  });

  it("tell of latencies as a histogram", async () => {
    const { values, types } = await parsed(sources()), name = "coload_request_duration_seconds";
    assert.equal(types.get(name), "histogram");
    const buckets = [...values].flatMap(([series, value]) => {
      const bound = /_bucket\{model="m",version="1",le="(.*)"\}$/.exec(series)?.[1];
      return bound === undefined ? [] : [[Number(bound.replace("+Inf", "Infinity")), value] as const];
    });
    assert.equal(buckets.length, 33);
    assert.deepEqual(buckets, buckets.toSorted(([one], [other]) => one - other));
    const counts = buckets.map(([, count]) => count);
    assert.deepEqual(counts, counts.toSorted((one, other) => one - other));
    const within = (seconds: number): number => buckets.find(([bound]) => bound >= seconds)![1];
    assert.deepEqual([within(0.001), within(0.0025), within(0.006), within(0.01), within(Infinity)], [0, 1, 3, 6, 6]);
    assert.equal(values.get(`${name}_count{model="m",version="1"}`), 6);
    assert.equal(values.get(`${name}_sum{model="m",version="1"}`), 0.0435);
  });

  it("tell of the worker, its registry, its memory and its clients", async () => {
    const { values, types } = await parsed(sources());
    const found = [...values].filter(([series]) => series.startsWith("coload_") && !series.includes("model="));
    assert.deepEqual(Object.fromEntries(found), {
      'coload_worker_info{version="0.1.0",runtime="deno 2.9.6"}': 1,
      'coload_worker_state{state="starting"}': 0,
      'coload_worker_state{state="ready"}': 1,
      'coload_worker_state{state="busy"}': 0,
      'coload_worker_state{state="draining"}': 0,
      coload_worker_start_time_seconds: 1_700_000_000.5,
      coload_executors: 4,
      'coload_clients{tensors="shared"}': 2,
      'coload_clients{tensors="bytes"}': 1,
      'coload_process_memory_bytes{kind="proportional"}': 3000,
      'coload_process_memory_bytes{kind="private"}': 2000,
      'coload_process_memory_bytes{kind="shared"}': 1000,
      coload_registry_hits_total: 7,
      coload_registry_misses_total: 3,
      coload_registry_loads_total: 2,
      coload_registry_load_failures_total: 1,
      coload_registry_evictions_total: 1,
      coload_registry_models: 2,
      coload_registry_memory_bytes: 5000,
      coload_shared_memory_arenas: 1,
      'coload_shared_memory_bytes{kind="reserved"}': 1 << 20,
      'coload_shared_memory_bytes{kind="used"}': 64,
      coload_client_regions: 2,
      coload_client_region_bytes: 128,
    });
    for (const [name, type] of types) {
      if (name.startsWith("coload_")) assert.equal(type === "counter", name.endsWith("_total"), name);
    }
  });

  it("are the same however often they are asked for: they count from what was counted", async () => {
    const from = sources();
    assert.equal(await metricsText(from), await metricsText(from));
    assert.match(METRICS_CONTENT_TYPE, /^text\/plain; version=0\.0\.4/);
  });

  it("tell of many models, of none, and of a model that is not loaded", async () => {
    const { memory: _, loadedAt: __, ...absent } = modelStatus({ name: "b", version: "2", state: "absent" });
    const models = [busyModel({ name: "a" }), { status: absent, statistics: statisticsOf() }];
    const { values } = await parsed(sources({ models }));
    assert.equal(values.get('nv_inference_count{model="a",version="1"}'), 101);
    assert.equal(values.get('nv_inference_count{model="b",version="2"}'), 0);
    assert.equal(values.get('coload_model_memory_bytes{model="b",version="2",kind="weights"}'), 0);
    assert.equal(values.get('coload_request_duration_seconds_count{model="b",version="2"}'), 0);
    const none = await parsed(sources({ models: [], status: workerStatus({ memory: undefined }) }));
    assert.deepEqual([...none.values.keys()].filter((series) => /model=|process_memory/.test(series)), []);
    assert.equal(none.types.get("nv_inference_count"), "counter");
  });
});

describe("the dashboard", () => {
  interface Target {
    readonly expr: string;
  }
  interface Panel {
    readonly id: number;
    readonly type: string;
    readonly title: string;
    readonly targets?: readonly Target[];
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  }
  const file = new URL("../../../demo/grafana/coload.json", import.meta.url);
  const dashboard = JSON.parse(readFileSync(file, "utf8")) as {
    readonly panels: readonly Panel[];
    readonly templating: { readonly list: readonly { readonly definition?: string }[] };
  };
  const queries = [
    ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
    ...dashboard.templating.list.flatMap(({ definition }) => definition ?? []),
  ];

  it("asks for metrics that there are, by labels that they have", async () => {
    const { values } = await parsed(sources()), labels = new Map<string, Set<string>>();
    for (const series of values.keys()) {
      const [, name, inside = ""] = /^(\w+)(?:\{(.*)\})?$/.exec(series)!;
      labels.set(name!, new Set([...inside.matchAll(/(\w+)="/g)].map(([, label]) => label!)));
    }
    assert.ok(queries.length > 30);
    for (const query of queries) {
      const asked = [...query.matchAll(/\b((?:nv|coload)_\w+)(?:\{([^}]*)\})?/g)];
      assert.ok(asked.length > 0, query);
      for (const [, name, inside = ""] of asked) {
        assert.ok(labels.has(name!), `${name} of ${query}`);
        for (const [, label] of inside.matchAll(/(\w+)=~?"/g)) {
          assert.ok(label === "job" || labels.get(name!)!.has(label!), `${label} of ${name} in ${query}`);
        }
      }
    }
  });

  it("asks for counters by their rate, and for nothing else so", async () => {
    const { types } = await parsed(sources());
    for (const query of queries) {
      for (const [, before, name] of query.matchAll(/(rate\()?\b((?:nv|coload)_\w+)/g)) {
        const type = types.get(name!.replace(/_bucket$/, ""));
        assert.equal(before !== undefined, type !== "gauge", query);
      }
    }
  });

  it("shows each of the metrics that a worker is judged by", () => {
    const all = queries.join("\n");
    for (
      const name of [
        "request_success",
        "request_failure",
        "count",
        "exec_count",
        "pending_request_count",
        "queue_duration",
      ]
    ) {
      assert.ok(all.includes(`nv_inference_${name}`), name);
    }
  });

  it("has panels that do not lie over each other", () => {
    const { panels } = dashboard;
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    for (const { title, gridPos: one } of panels) {
      assert.ok(one.x + one.w <= 24, title);
      const over = panels.filter(({ gridPos: other }) =>
        other !== one && one.x < other.x + other.w && other.x < one.x + one.w && one.y < other.y + other.h &&
        other.y < one.y + one.h
      );
      assert.deepEqual(over.map((panel) => [title, panel.title]), []);
    }
  });
});
