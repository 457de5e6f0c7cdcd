import process from "node:process";
import picocolors from "picocolors";
import type { ProcessMemory } from "../../protocol/status.ts";
import { formatBytes } from "../../weights/format_bytes.ts";
import { formatCount, formatMs } from "../bench/units.ts";
import { table } from "../run/table.ts";
import type { Seen, SeenClient, SeenModel } from "./look.ts";

type Worker = Extract<Seen, { readonly status: unknown }>["status"];

const UNITS = [["d", 86_400_000], ["h", 3_600_000], ["m", 60_000], ["s", 1000]] as const;

/** How the status says that requests are not joined, and why where nobody asked for it. */
const OFF = "off: ", UNWANTED = "maxBatchSize is 1";

/** How long something has lasted. */
function age(since: number): string {
  const ms = Math.max(0, Date.now() - since),
    [unit, factor] = UNITS.find(([, factor]) => ms >= factor) ?? UNITS.at(-1)!;
  return `${Math.floor(ms / factor)}${unit}`;
}

function memoryCells(memory: ProcessMemory | undefined): string[] {
  if (memory === undefined) return ["-", "-", "-"];
  return [memory.proportional, memory.private, memory.shared].map(formatBytes);
}

const MEMORY = ["pss", "private", "shared"];

function processes({ pid, runtime, startedAt, executors, memory, clients }: Worker): string {
  const rows = [
    ["worker", `${pid}`, `${executors} executors`, runtime, "", "", age(startedAt), ...memoryCells(memory)],
    ...clients.map(({ pid, name, runtime, sharesMemory, queued, connectedAt, memory }) => [
      "client",
      pid === 0 ? "-" : `${pid}`,
      name,
      runtime,
      sharesMemory ? "lane" : "bytes",
      formatCount(queued),
      age(connectedAt),
      ...memoryCells(memory),
    ]),
  ];
  return table(["", "pid", "name", "runtime", "tensors by", "queued", "up", ...MEMORY], rows);
}

function models(all: readonly SeenModel[]): string {
  const head = ["model", "version", "state", "batching", "queued", "requests", "per second", "failures", "refused"];
  const rows = all.map((model) => {
    const { requests, requestsPerSecond: rate, largestBatch, latencyMs, memory, sharing } = model;
    const isBatched = model.batching.startsWith("on"), largest = largestBatch > 1 ? `, ${largestBatch} at most` : "";
    const times = [latencyMs.p50, latencyMs.p90, latencyMs.p99].map((ms) => requests === 0 ? "-" : formatMs(ms));
    return [
      model.name,
      model.version,
      model.state,
      isBatched ? `on${largest}` : "off",
      formatCount(model.queued),
      formatCount(requests),
      rate === undefined ? "-" : formatCount(rate),
      formatCount(model.failures),
      formatCount(model.refused),
      ...times,
      memory === undefined ? "-" : formatBytes(memory.weights),
      memory === undefined ? "-" : formatBytes(memory.shared),
      sharing?.mode ?? "-",
    ];
  });
  return table([...head, "p50", "p90", "p99", "weights", "shared", "sharing"], rows);
}

/** Memory of the worker and its clients, each process once. */
function total({ pid, memory, clients }: Worker): string[] {
  const all = new Map<number, ProcessMemory | undefined>([[pid, memory]]);
  for (const client of clients) all.set(client.pid, (client as SeenClient).memory);
  const seen = [...all.values()].filter((memory) => memory !== undefined);
  if (seen.length < 2) return [];
  return [
    `${seen.length} processes take ${formatBytes(seen.reduce((sum, { proportional }) => sum + proportional, 0))}`,
  ];
}

function describeOne(seen: Seen): string {
  const colors = picocolors.createColors(process.stdout.isTTY === true && !process.env.NO_COLOR);
  if ("problem" in seen) {
    return `${colors.bold(seen.socket)}: ${colors.yellow("not answering")}\n${seen.problem.message}`;
  }
  const { socket, status } = seen;
  const notes = status.models.flatMap(({ name, problem, batching }) => [
    ...(problem === undefined
      ? []
      : [colors.yellow(`${name} could not be loaded when its file was read last: ${problem}`)]),
    ...(batching.startsWith("on") || batching.endsWith(UNWANTED)
      ? []
      : [`${name} is not batched: ${batching.slice(OFF.length)}`]),
  ]);
  return [
    `${colors.bold(socket)}: ${status.state}${status.http === undefined ? "" : `, ${status.http}`}`,
    models(status.models),
    ...notes,
    "",
    processes(status),
    ...total(status),
  ].join("\n");
}

/** What people read. */
export function describe(all: readonly Seen[]): string {
  if (all.length === 0) return "No workers: coload serve starts one";
  return all.map(describeOne).join("\n\n");
}

/** The same for programs: times in ms since the epoch or as they say, memory in bytes. */
export function toJson(all: readonly Seen[], indent?: number): string {
  return JSON.stringify({ time: Date.now(), workers: all }, null, indent);
}
