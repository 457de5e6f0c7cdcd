import { ffi } from "../../ffi/mod.ts";
import { monotonicMs } from "../../ffi/monotonic_clock.ts";
import { offset } from "../../ffi/native_memory.ts";
import { BATCH_SIZES, batchSizeIndex, batchSizeOf } from "./batch_sizes.ts";
import { MOST_EXECUTORS, MOST_MODELS } from "./board/layout.ts";

/** Eight buckets for each power of two: a latency is known to one part in eleven. */
const PER_OCTAVE = 8, OCTAVES = 32, BUCKETS = OCTAVES * PER_OCTAVE;
/** The executors, and the worker's own thread. */
const THREADS: number = MOST_EXECUTORS + 1;
const SUMS = [
  "requests",
  "failures",
  "cancelled",
  "runFailures",
  "refused",
  "runs",
  "rows",
  "batched",
  "queueMs",
  "totalMs",
  "failedMs",
  "refusedMs",
  "runMs",
] as const;
const MAXIMA = ["lastAt", "largestBatch"] as const;
const COUNTERS = [...SUMS, ...MAXIMA] as const;
/** Positions of the counters in a cell. */
const AT = Object.fromEntries(COUNTERS.map((name, i) => [name, i])) as Readonly<
  Record<typeof COUNTERS[number], number>
>;
/** A cell: the counters, by size of batch how many ran and for how long, and the latencies. */
const BATCHES_AT: number = COUNTERS.length * 8, BUCKETS_AT: number = BATCHES_AT + 2 * BATCH_SIZES * 8;
const CELL_BYTE_LENGTH: number = BUCKETS_AT + BUCKETS * 4;

/** Bytes of the statistics of a worker. */
export const STATISTICS_BYTE_LENGTH: number = THREADS * MOST_MODELS * CELL_BYTE_LENGTH;

type Counters = { -readonly [K in typeof COUNTERS[number]]: number };

/** Why a request failed: its caller gave it up, the run did, or anything else. */
export type FailureReason = "cancelled" | "run" | "other";

/** Runs of batches of a size. */
export interface BatchStatistics {
  /** Rows of each; above 64 the power of two that they have at most, 65536 also for all that have more. */
  readonly size: number;
  readonly runs: number;
  readonly runMs: number;
}

/** What was counted for one model. */
export interface ModelStatistics extends Readonly<Counters> {
  /** When its last run was over, in ms since the epoch; 0 before the first. */
  readonly lastRunAt: number;
  /** By rows, from few to many; none of which there was no run. */
  readonly batches: readonly BatchStatistics[];
  /** How many requests took from 2^i to 2^(i+1) microseconds, by i; those that took less than one count for the first. */
  readonly latencyOctaves: readonly number[];
  /** Time from a request's arrival to its answer, in ms, that so many of a hundred are below. */
  latencyMs(percent: number): number;
}

interface Cell {
  readonly f64: Float64Array;
  readonly batches: Float64Array;
  readonly buckets: Uint32Array;
}

/** What executors count, each in cells of its own: nobody waits for anybody. */
export class Statistics {
  readonly #address: bigint;
  readonly #cells: (Cell | undefined)[] = [];
  /** What the epoch's clock is ahead of the monotonic one. */
  readonly #aheadMs: number = Date.now() - monotonicMs();

  /** @param address of zeroed memory of {@linkcode STATISTICS_BYTE_LENGTH} bytes */
  constructor(address: bigint) {
    this.#address = address;
  }

  /** Counts a run of an executor, its requests and their rows. @param end when it was over, in ms */
  noteRun(executor: number, model: number, requests: number, rows: number, runMs: number, end: number): void {
    const { f64, batches } = this.#cell(executor, model), at = 2 * batchSizeIndex(rows);
    f64[AT.runs]!++;
    f64[AT.rows]! += rows;
    if (requests > 1) f64[AT.batched]! += requests;
    f64[AT.runMs]! += runMs;
    f64[AT.lastAt] = end;
    if (requests > f64[AT.largestBatch]!) f64[AT.largestBatch] = requests;
    batches[at]!++;
    batches[at + 1]! += runMs;
  }

  /** Counts a request that was answered with its results. */
  noteRequest(executor: number, model: number, queueMs: number, totalMs: number): void {
    const cell = this.#cell(executor, model), { f64 } = cell;
    f64[AT.requests]!++;
    f64[AT.queueMs]! += queueMs;
    f64[AT.totalMs]! += totalMs;
    noteLatency(cell, totalMs);
  }

  /** Counts a request that was answered by an error. */
  noteFailure(thread: number, model: number, totalMs: number, reason: FailureReason): void {
    const cell = this.#cell(thread, model), { f64 } = cell;
    f64[AT.requests]!++;
    f64[AT.failures]!++;
    if (reason === "cancelled") f64[AT.cancelled]!++;
    else if (reason === "run") f64[AT.runFailures]!++;
    f64[AT.failedMs]! += totalMs;
    noteLatency(cell, totalMs);
  }

  /** Counts a request that was refused before it could run. */
  noteRefused(thread: number, model: number, waitedMs: number): void {
    const { f64 } = this.#cell(thread, model);
    f64[AT.refused]!++;
    f64[AT.refusedMs]! += waitedMs;
  }

  /** What all executors counted for a model. */
  of(model: number): ModelStatistics {
    const sums = new Float64Array(COUNTERS.length), batches = new Float64Array(2 * BATCH_SIZES);
    const buckets = new Float64Array(BUCKETS);
    for (let executor = 0; executor < THREADS; executor++) {
      const cell = this.#cell(executor, model);
      cell.f64.forEach((value, i) => sums[i] = i >= SUMS.length ? Math.max(sums[i]!, value) : sums[i]! + value);
      cell.batches.forEach((value, i) => batches[i]! += value);
      cell.buckets.forEach((value, i) => buckets[i]! += value);
    }
    const counters = Object.fromEntries(COUNTERS.map((name, i) => [name, sums[i]!])) as Counters, { lastAt } = counters;
    return {
      ...counters,
      lastRunAt: lastAt === 0 ? 0 : Math.round(lastAt + this.#aheadMs),
      batches: batchStatistics(batches),
      latencyOctaves: Array.from({ length: OCTAVES }, (_, i) => octave(buckets, i)),
      latencyMs: (percent) => percentile(buckets, percent) / 1000,
    };
  }

  #cell(executor: number, model: number): Cell {
    const index = executor * MOST_MODELS + model, found = this.#cells[index];
    if (found !== undefined) return found;
    const at = offset({ address: this.#address }, index * CELL_BYTE_LENGTH);
    const buffer = ffi.view(at, CELL_BYTE_LENGTH);
    const cell = {
      f64: new Float64Array(buffer, 0, COUNTERS.length),
      batches: new Float64Array(buffer, BATCHES_AT, 2 * BATCH_SIZES),
      buckets: new Uint32Array(buffer, BUCKETS_AT, BUCKETS),
    };
    return this.#cells[index] = cell;
  }
}

function noteLatency({ buckets }: Cell, totalMs: number): void {
  const micros = totalMs * 1000, bucket = micros < 1 ? 0 : Math.floor(Math.log2(micros) * PER_OCTAVE);
  buckets[Math.min(BUCKETS - 1, bucket)]!++;
}

function batchStatistics(batches: Float64Array): BatchStatistics[] {
  return Array.from({ length: BATCH_SIZES }, (_, i) => ({
    size: batchSizeOf(i),
    runs: batches[2 * i]!,
    runMs: batches[2 * i + 1]!,
  })).filter(({ runs }) => runs > 0);
}

const octave = (buckets: Float64Array, i: number): number =>
  buckets.subarray(i * PER_OCTAVE, (i + 1) * PER_OCTAVE).reduce((sum, count) => sum + count, 0);

function percentile(buckets: Float64Array, percent: number): number {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return 0;
  let left = total * percent / 100;
  const bucket = buckets.findIndex((count) => (left -= count) <= 0);
  return 2 ** ((bucket + 1) / PER_OCTAVE);
}
