import { arch, availableParallelism, platform } from "node:os";
import { basename } from "node:path";
import process from "node:process";
import Table from "cli-table3";
import picocolors from "picocolors";
import config from "../../../deno.json" with { type: "json" };
import { histogramChart } from "./histogram_chart.ts";
import type { Recording } from "./recording.ts";
import { formatCount, formatMs } from "./units.ts";

/** What was measured in one go. */
export interface Row {
  readonly model: string;
  readonly endpoint: string | undefined;
  /** Processes that sent requests. */
  readonly clients: number;
  /** Requests of each of them on their way at the same time. */
  readonly concurrency: number;
  /** Arrivals a second of all of them together; `undefined` in a closed loop. */
  readonly rate: number | undefined;
  readonly sync: boolean;
  readonly storage: string;
  readonly recording: Recording;
  /** Whether it ended before it should. */
  readonly interrupted: boolean;
  /** Where its histogram was written to. */
  readonly histogramFile: string | undefined;
}

/** Of the rate that was wanted, what is there when the model keeps up. */
const KEPT_UP = 0.95;

function machine(): { coload: string; runtime: string; platform: string; cpus: number } {
  const { bun, deno } = process.versions as Record<string, string | undefined>;
  return {
    coload: config.version,
    runtime: bun === undefined ? `deno ${deno}` : `bun ${bun}`,
    platform: `${platform()}-${arch()}`,
    cpus: availableParallelism(),
  };
}

function forPrograms({ recording, ...row }: Row): Record<string, unknown> {
  const { successes, errors, failures, elapsedMs, throughput, latency } = recording;
  return {
    ...row,
    requests: successes + errors,
    successes,
    errors: Object.fromEntries(failures.map(({ code, count }) => [code, count])),
    messages: Object.fromEntries(failures.map(({ code, message }) => [code, message])),
    elapsedMs,
    throughput,
    latencyMs: latency,
    histogram: recording.encode().histogram,
  };
}

/** What `coload bench --json` prints. `histogram` is HdrHistogram's compressed form (V2) of nanoseconds, in base64. */
export function jsonReport(rows: readonly Row[], interrupted: boolean): string {
  return JSON.stringify({ ...machine(), interrupted, rows: rows.map(forPrograms) }, null, 2);
}

function loadOf({ clients, concurrency, rate, sync }: Row): string {
  const each = sync ? "synchronous" : `${rate === undefined ? "" : "≤ "}${concurrency} at once`;
  const all = clients === 1 ? each : `${clients} x ${each}`;
  return rate === undefined ? all : `${formatCount(rate)}/s, ${all}`;
}

function title(row: Row): string {
  const { model, endpoint, storage } = row;
  return [endpoint === undefined ? basename(model) : `${model} of ${endpoint}`, loadOf(row), storage].join(", ");
}

function cells(row: Row): string[] {
  const { recording: { successes, errors, failures, throughput, latency }, interrupted } = row;
  const times = (["mean", "p50", "p90", "p99", "p99_9", "max"] as const).map((key) =>
    latency === undefined ? "-" : formatMs(latency[key])
  );
  return [
    `${basename(row.model)}${interrupted ? " (interrupted)" : ""}`,
    loadOf(row),
    formatCount(successes + errors),
    failures.map(({ code, count }) => `${formatCount(count)} ${code}`).join("\n") || "0",
    formatCount(throughput),
    ...times,
  ];
}

const HEAD = ["model", "load", "requests", "errors", "per second", "mean", "p50", "p90", "p99", "p99.9", "max"];
const BLANK = Object.fromEntries(
  ["top", "bottom", "left", "right", "mid"].flatMap((name) => [name, `${name}-mid`, `${name}-left`, `${name}-right`])
    .map((name) => [name, ""]),
);

function table(rows: readonly Row[]): string {
  const shown = new Table({
    head: HEAD,
    colAligns: HEAD.map((_, i) => i === 0 ? "left" : "right"),
    chars: { ...BLANK, "left-mid": "", "mid-mid": "", "right-mid": "", middle: "  " },
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  shown.push(...rows.map(cells));
  return shown.toString();
}

function notes({ rate, interrupted, recording, histogramFile }: Row): string[] {
  const { throughput, failures } = recording;
  const late = rate !== undefined && !interrupted && throughput < rate * KEPT_UP && failures.length === 0;
  return [
    ...failures.map(({ code, message }) => `${code}: ${message}`),
    ...(late ? [`The rate was not kept up: ${formatCount(throughput)} of ${formatCount(rate)} a second`] : []),
    ...(interrupted ? ["Interrupted: what was on its way does not count"] : []),
    ...(histogramFile === undefined ? [] : [`Percentile distribution: ${histogramFile}`]),
  ];
}

/** What people read: a table, and for each of its lines how the latencies are distributed. */
export function describe(rows: readonly Row[]): string {
  const { coload, runtime, platform, cpus } = machine();
  const colors = picocolors.createColors(process.stdout.isTTY === true && !process.env.NO_COLOR);
  const details = rows.map((row) => {
    const lines = [...histogramChart(row.recording), ...notes(row).map((note) => colors.yellow(note))];
    return ["", colors.bold(title(row)), ...lines].join("\n");
  });
  return [`Coload ${coload} on ${runtime}, ${platform}, ${cpus} CPUs`, "", table(rows), ...details].join("\n");
}
