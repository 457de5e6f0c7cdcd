import { ffi } from "../../ffi/mod.ts";
import { offset } from "../../ffi/native_memory.ts";
import { MOST_EXECUTORS, MOST_MODELS } from "./board/layout.ts";

/** Eight buckets for each power of two: a latency is known to one part in eleven. */
const PER_OCTAVE = 8, BUCKETS = 32 * PER_OCTAVE;
/** The executors, and the worker's own thread. */
const THREADS: number = MOST_EXECUTORS + 1;
const SUMS = ["requests", "failures", "refused", "runs", "batched", "queueMs", "runMs"] as const;
const MAXIMA = ["lastAt", "largestBatch"] as const;
const COUNTERS = [...SUMS, ...MAXIMA] as const;
/** Positions of the counters in a cell. */
const AT = Object.fromEntries(COUNTERS.map((name, i) => [name, i])) as Readonly<
  Record<typeof COUNTERS[number], number>
>;
const CELL_BYTE_LENGTH: number = COUNTERS.length * 8 + BUCKETS * 4;

/** Bytes of the statistics of a worker. */
export const STATISTICS_BYTE_LENGTH: number = THREADS * MOST_MODELS * CELL_BYTE_LENGTH;

type Counters = { -readonly [K in typeof COUNTERS[number]]: number };

/** What was counted for one model. */
export interface ModelStatistics extends Readonly<Counters> {
  /** Time from a request's arrival to its answer, in ms, that so many of a hundred are below. */
  latencyMs(percent: number): number;
}

/** What executors count, each in cells of its own: nobody waits for anybody. */
export class Statistics {
  readonly #address: bigint;
  readonly #cells: ({ readonly f64: Float64Array; readonly buckets: Uint32Array } | undefined)[] = [];

  /** @param address of zeroed memory of {@linkcode STATISTICS_BYTE_LENGTH} bytes */
  constructor(address: bigint) {
    this.#address = address;
  }

  /** Counts a run of an executor, and its requests. @param end when it was over, in ms */
  noteRun(executor: number, model: number, requests: number, runMs: number, end: number): void {
    const { f64 } = this.#cell(executor, model);
    f64[AT.runs]!++;
    if (requests > 1) f64[AT.batched]! += requests;
    f64[AT.runMs]! += runMs;
    f64[AT.lastAt] = end;
    if (requests > f64[AT.largestBatch]!) f64[AT.largestBatch] = requests;
  }

  /** Counts a request that was answered. */
  noteRequest(executor: number, model: number, queueMs: number, totalMs: number, failed: boolean): void {
    const { f64, buckets } = this.#cell(executor, model), micros = totalMs * 1000;
    f64[AT.requests]!++;
    if (failed) f64[AT.failures]!++;
    f64[AT.queueMs]! += queueMs;
    const bucket = micros < 1 ? 0 : Math.floor(Math.log2(micros) * PER_OCTAVE);
    buckets[Math.min(BUCKETS - 1, bucket)]!++;
  }

  /** Counts a request that was refused before it could run. */
  noteRefused(thread: number, model: number): void {
    this.#cell(thread, model).f64[AT.refused]!++;
  }

  /** What all executors counted for a model. */
  of(model: number): ModelStatistics {
    const sums = new Float64Array(COUNTERS.length), buckets = new Float64Array(BUCKETS);
    for (let executor = 0; executor < THREADS; executor++) {
      const cell = this.#cell(executor, model);
      cell.f64.forEach((value, i) => sums[i] = i >= SUMS.length ? Math.max(sums[i]!, value) : sums[i]! + value);
      cell.buckets.forEach((value, i) => buckets[i]! += value);
    }
    const counters = Object.fromEntries(COUNTERS.map((name, i) => [name, sums[i]!])) as Counters;
    return { ...counters, latencyMs: (percent) => percentile(buckets, percent) / 1000 };
  }

  #cell(executor: number, model: number): { readonly f64: Float64Array; readonly buckets: Uint32Array } {
    const index = executor * MOST_MODELS + model, found = this.#cells[index];
    if (found !== undefined) return found;
    const at = offset({ address: this.#address }, index * CELL_BYTE_LENGTH), counters = COUNTERS.length;
    const buffer = ffi.view(at, CELL_BYTE_LENGTH);
    const cell = {
      f64: new Float64Array(buffer, 0, counters),
      buckets: new Uint32Array(buffer, counters * 8, BUCKETS),
    };
    return this.#cells[index] = cell;
  }
}

function percentile(buckets: Float64Array, percent: number): number {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return 0;
  let left = total * percent / 100;
  const bucket = buckets.findIndex((count) => (left -= count) <= 0);
  return 2 ** ((bucket + 1) / PER_OCTAVE);
}
