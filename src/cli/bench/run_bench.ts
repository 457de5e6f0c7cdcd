import { writeFileSync } from "node:fs";
import path from "node:path";
import { Interrupts } from "../interrupts.ts";
import { ClientProcesses } from "./client_processes.ts";
import { isWatched, LiveLine } from "./live.ts";
import type { Load } from "./load.ts";
import { LocalSource, type RequestOptions } from "./local_source.ts";
import type { Recording } from "./recording.ts";
import { describe, jsonReport, type Row } from "./report.ts";
import type { Source } from "./source.ts";

/** What is to be measured. */
export interface Bench {
  readonly models: readonly string[];
  readonly request: RequestOptions;
  readonly endpoint?: string;
  /** Processes that send requests, each with its own connection; this one alone, if 1. */
  readonly clients: number;
  /** Requests of each process on their way at the same time, one after the other. */
  readonly levels: readonly number[];
  readonly durationMs?: number;
  readonly requests?: number;
  readonly warmupMs: number;
  /** Arrivals a second of all processes together: an open loop. */
  readonly rate?: number;
  readonly json: boolean;
  /** Where percentile distributions are written to. */
  readonly histogram?: string;
}

function loadAt(bench: Bench, concurrency: number): Load {
  const { durationMs, requests, rate } = bench;
  return {
    concurrency,
    ...(durationMs !== undefined && { durationMs }),
    ...(requests !== undefined && { requests }),
    ...(rate !== undefined && { arrivals: { firstMs: 0, everyMs: 1000 / rate } }),
  };
}

function open({ endpoint, clients: count, request }: Bench, model: string, signal: AbortSignal): Promise<Source> {
  const target = { model, ...(endpoint !== undefined && { endpoint }) };
  return count === 1
    ? LocalSource.open(target, request, signal)
    : ClientProcesses.open(target, request, { count, watched: isWatched(), signal });
}

async function send(source: Source, load: Load, title: string, signal: AbortSignal): Promise<Recording> {
  using _line = new LiveLine(title, load, () => source.seen);
  return await source.send(load, signal);
}

/** The histogram's file of a row: numbered, where there are several. */
function histogramFile({ histogram, models, levels }: Bench, number: number): string | undefined {
  if (histogram === undefined || models.length * levels.length === 1) return histogram;
  const { dir, name, ext } = path.parse(histogram);
  return path.join(dir, `${name}-${number}${ext}`);
}

/** Measures one model after the other, at one level after the other, and gives each row as it is there. */
async function measure(bench: Bench, signal: AbortSignal, onRow: (row: Row) => void): Promise<void> {
  const { endpoint, clients, rate, warmupMs, request: { sync, storage } } = bench;
  let number = 0;
  for (const model of bench.models) {
    await using source = await open(bench, model, signal);
    for (const concurrency of bench.levels) {
      const load = loadAt(bench, concurrency), title = `${path.basename(model)}, ${concurrency} at once`;
      const { requests: _, ...warmup } = { ...load, durationMs: warmupMs };
      if (warmupMs > 0) await send(source, warmup, `${title}, warming up`, signal);
      signal.throwIfAborted();
      const recording = await send(source, load, title, signal), file = histogramFile(bench, ++number);
      const setting = { model, endpoint, clients, concurrency, rate, sync, storage };
      onRow({ ...setting, recording, interrupted: signal.aborted, histogramFile: file });
      if (file !== undefined) writeFileSync(file, recording.distribution());
      signal.throwIfAborted();
    }
  }
}

/**
 * Measures, and prints what was measured, also when it is interrupted or fails in the middle.
 *
 * @returns the exit code: 1 when all requests of a row failed
 */
export async function runBench(bench: Bench): Promise<number> {
  using interrupts = new Interrupts();
  const rows: Row[] = [];
  try {
    await measure(bench, interrupts.signal, (row) => rows.push(row));
  } finally {
    if (bench.json) console.log(jsonReport(rows, interrupts.signal.aborted));
    else if (rows.length > 0) console.log(describe(rows));
  }
  const vain = rows.filter(({ recording }) => recording.successes === 0);
  for (const { model, recording: { errors, failures } } of vain) {
    console.error(`coload: all ${errors} requests to ${model} failed: ${failures[0]?.message}`);
  }
  return vain.length > 0 ? 1 : 0;
}
