import type { WorkerState } from "../../../protocol/status.ts";
import { type Metric, type MetricSources, type Sample, stateSamples } from "./definitions.ts";

const STATES: readonly WorkerState[] = ["starting", "ready", "busy", "draining"];

function single(
  type: Metric["type"],
  name: string,
  help: string,
  value: (sources: MetricSources) => number,
): Metric {
  return { name, help, type, labels: [], samples: (sources) => [[{}, value(sources)]] };
}

function clients({ status: { clients } }: MetricSources): Sample[] {
  const shared = clients.filter(({ sharesMemory }) => sharesMemory).length;
  return [[{ tensors: "shared" }, shared], [{ tensors: "bytes" }, clients.length - shared]];
}

function processMemory({ status: { memory } }: MetricSources): Sample[] {
  if (memory === undefined) return [];
  const { proportional, private: own, shared } = memory;
  return Object.entries({ proportional, private: own, shared }).map(([kind, bytes]) => [{ kind }, bytes]);
}

/** What Coload tells of a worker: its registry, its process, its clients. */
export const WORKER_METRICS: readonly Metric[] = [
  {
    name: "coload_worker_info",
    help: "What the worker is",
    type: "gauge",
    labels: ["version", "runtime"],
    samples: ({ status: { version, runtime } }) => [[{ version, runtime }, 1]],
  },
  {
    name: "coload_worker_state",
    help: "1 for what the worker is doing",
    type: "gauge",
    labels: ["state"],
    samples: ({ status }) => stateSamples(STATES, status.state),
  },
  single(
    "gauge",
    "coload_worker_start_time_seconds",
    "When the worker started, since the epoch",
    ({ status }) => status.startedAt / 1000,
  ),
  single("gauge", "coload_executors", "Threads that run models", ({ status }) => status.executors),
  {
    name: "coload_clients",
    help: "Clients of the socket, by how their tensors come",
    type: "gauge",
    labels: ["tensors"],
    samples: clients,
  },
  {
    name: "coload_process_memory_bytes",
    help:
      "Memory of the worker's process: its proportional set size, which is private pages and its part of shared ones",
    type: "gauge",
    labels: ["kind"],
    samples: processMemory,
  },
  single(
    "counter",
    "coload_registry_hits_total",
    "Loads that found their model there",
    ({ registry }) => registry.cacheHits,
  ),
  single("counter", "coload_registry_misses_total", "Loads that did not", ({ registry }) => registry.cacheMisses),
  single("counter", "coload_registry_loads_total", "Models that were loaded", ({ registry }) => registry.loads),
  single(
    "counter",
    "coload_registry_load_failures_total",
    "Models that could not be loaded",
    ({ registry }) => registry.loadFailures,
  ),
  single("counter", "coload_registry_evictions_total", "Models that left", ({ registry }) => registry.evictions),
  single("gauge", "coload_registry_models", "Models of the process", ({ registry }) => registry.totalModels),
  single(
    "gauge",
    "coload_registry_memory_bytes",
    "Bytes that they hold or have reserved",
    ({ registry }) => registry.totalMemoryBytes,
  ),
  single(
    "gauge",
    "coload_shared_memory_arenas",
    "Arenas of shared memory for tensors",
    ({ allocator }) => allocator.arenas,
  ),
  {
    name: "coload_shared_memory_bytes",
    help: "Bytes of these arenas: reserved from the machine, and in use by tensors",
    type: "gauge",
    labels: ["kind"],
    samples: ({ allocator }) => [
      [{ kind: "reserved" }, allocator.bytesReserved],
      [{ kind: "used" }, allocator.bytesInUse],
    ],
  },
  single(
    "gauge",
    "coload_client_regions",
    "Regions of shared memory that clients have registered",
    ({ regions }) => regions.count,
  ),
  single("gauge", "coload_client_region_bytes", "Bytes of these regions", ({ regions }) => regions.byteLength),
];
