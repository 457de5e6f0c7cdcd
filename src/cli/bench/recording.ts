import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type JsHistogram } from "hdr-histogram-js";

/** Nanoseconds that the histogram tells apart to three digits: up to an hour. What takes longer counts as that. */
const LONGEST_NS = 3600e9, DIGITS = 3;
const NS_PER_MS = 1e6;

/** How often a code came, and what was said the first time. */
export interface Failure {
  readonly code: string;
  readonly count: number;
  readonly message: string;
}

/** A recording on its way between processes. */
export interface EncodedRecording {
  /** HdrHistogram's compressed form (V2), base64, of nanoseconds. */
  readonly histogram: string;
  readonly failures: readonly Failure[];
  readonly elapsedMs: number;
}

/** Latencies, in milliseconds, of the requests that succeeded. */
export interface Latency {
  readonly min: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p99_9: number;
  readonly max: number;
}

/** What became of requests: how long those took that succeeded, and why the others failed. */
export class Recording {
  readonly #histogram = build({
    bitBucketSize: 64,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: LONGEST_NS,
    numberOfSignificantValueDigits: DIGITS,
  }) as JsHistogram;
  readonly #failures = new Map<string, { code: string; count: number; message: string }>();
  #elapsedMs: number | undefined;

  /** A request succeeded. Nothing that comes after the end counts. */
  succeeded(latencyMs: number): void {
    if (this.#elapsedMs !== undefined) return;
    this.#histogram.recordValue(Math.min(Math.max(0, Math.round(latencyMs * NS_PER_MS)), LONGEST_NS));
  }

  /** A request failed. Nothing that comes after the end counts. */
  failed(error: unknown): void {
    if (this.#elapsedMs !== undefined) return;
    const { code, name, message } = error as Error & { code?: string };
    this.#fail({ code: code ?? name ?? "Error", count: 1, message: message ?? String(error) });
  }

  #fail({ code, count, message }: Failure): void {
    const before = this.#failures.get(code);
    if (before === undefined) this.#failures.set(code, { code, count, message });
    else before.count += count;
  }

  /** The last request is over, or what follows is of no interest. */
  end(elapsedMs: number): void {
    this.#elapsedMs ??= elapsedMs;
  }

  /** From the first request's start to the last one's end. */
  get elapsedMs(): number {
    return this.#elapsedMs ?? 0;
  }

  get successes(): number {
    return this.#histogram.totalCount;
  }

  get failures(): readonly Failure[] {
    return [...this.#failures.values()].sort((a, b) => b.count - a.count);
  }

  /** Requests that failed. */
  get errors(): number {
    return this.failures.reduce((sum, { count }) => sum + count, 0);
  }

  /** Requests a second that succeeded. */
  get throughput(): number {
    return this.elapsedMs === 0 ? 0 : this.successes / this.elapsedMs * 1000;
  }

  /** The latency, in milliseconds, that so many of a hundred do not exceed. */
  percentile(percent: number): number {
    const { maxValue } = this.#histogram; // a percentile is its bucket's upper end, and the longest is exact
    return Math.min(this.#histogram.getValueAtPercentile(percent), maxValue) / NS_PER_MS;
  }

  /** `undefined` when no request succeeded. */
  get latency(): Latency | undefined {
    if (this.successes === 0) return undefined;
    const max = this.#histogram.maxValue / NS_PER_MS;
    return {
      min: this.percentile(0),
      mean: Math.min(this.#histogram.mean / NS_PER_MS, max),
      p50: this.percentile(50),
      p90: this.percentile(90),
      p99: this.percentile(99),
      p99_9: this.percentile(99.9),
      max,
    };
  }

  /** How many requests took how long, in milliseconds, in ascending order; latencies of three equal digits are one. */
  *counts(): Generator<{ readonly latencyMs: number; readonly count: number }> {
    const histogram = this.#histogram; // whose own iterator fails over a single value
    for (let i = 0; i < histogram.countsArrayLength; i++) {
      const count = histogram.getCountAtIndex(i);
      if (count > 0) yield { latencyMs: histogram.valueFromIndex(i) / NS_PER_MS, count };
    }
  }

  /** HdrHistogram's percentile distribution, as its tools read and plot it, in milliseconds. */
  distribution(): string {
    return this.#histogram.outputPercentileDistribution(5, NS_PER_MS);
  }

  /** Takes in what another process recorded at the same time. */
  add({ histogram, failures, elapsedMs }: EncodedRecording): void {
    this.#histogram.add(decodeFromCompressedBase64(histogram, 64) as JsHistogram);
    for (const failure of failures) this.#fail(failure);
    this.#elapsedMs = Math.max(this.elapsedMs, elapsedMs);
  }

  encode(): EncodedRecording {
    const { failures, elapsedMs } = this;
    return { histogram: encodeIntoCompressedBase64(this.#histogram), failures, elapsedMs };
  }
}
