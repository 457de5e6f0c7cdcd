/** Keeps requests in flight, and notes what became of each. */
import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type Histogram } from "hdr-histogram-js";
import type { Feeds, Model, Tensors } from "../../mod.ts";
import { type Case, makeTensors } from "../support/cases.ts";
import { randomNumbers } from "../support/shared_random.ts";

/** Different feeds of a case, so that an answer to another request is a wrong one. */
const FEEDS = 8;
const MOST_NS = 60e9;

/** Feeds, and the bits of what comes out. */
export interface Question {
  readonly feeds: Feeds;
  readonly bits: readonly Uint8Array[];
}

/** What became of requests. */
export interface Load {
  readonly done: number;
  /** Answers that were not, bit for bit, those of this process's own session. */
  readonly wrong: number;
  readonly seconds: number;
  /** How many failed with which code. */
  readonly errors: Readonly<Record<string, number>>;
  /** When the last of them failed, as `Date.now()` but finer. */
  readonly lastErrorAt: number;
  /** Of latencies in ns, to be read by {@linkcode together}. */
  readonly histogram: string;
}

/** How long to go on. */
export interface LoadOptions {
  readonly inFlight: number;
  readonly seconds: number;
  /** Whether what failed is asked no more. */
  readonly endsWithError?: boolean;
  /** Whether the calls block. */
  readonly sync?: boolean;
}

const newHistogram = (): Histogram =>
  build({ lowestDiscernibleValue: 1, highestTrackableValue: MOST_NS, numberOfSignificantValueDigits: 3 });

/** The time, which all processes of the machine read alike. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

function bitsOf(outputs: Tensors, names: readonly string[]): Uint8Array[] {
  return names.map((name) => {
    const { buffer, byteOffset, byteLength } = outputs[name]!.data as Float32Array<ArrayBuffer>;
    return new Uint8Array(buffer, byteOffset, byteLength);
  });
}

const equal = (one: Uint8Array, other: Uint8Array): boolean =>
  one.length === other.length && one.every((byte, i) => byte === other[i]);

/** Feeds of random floats, and what a session of this process makes of each. */
export function makeQuestions(session: Model, { inputs, outputs }: Case, seed: number): Question[] {
  const random = randomNumbers(seed), names = outputs.map(({ name }) => name);
  return Array.from({ length: FEEDS }, () => {
    const feeds = makeTensors(inputs, "heap");
    for (const { name, dtype } of inputs) {
      if (dtype === "float32") (feeds[name]!.data as Float32Array).forEach((_, i, data) => data[i] = random() - 0.5);
    }
    using result = session.runSync(feeds);
    return { feeds, bits: bitsOf(result, names).map((bytes) => bytes.slice()) };
  });
}

/** Asks a model, so many questions at once, each anew as soon as it is answered. */
export async function keepAsking(
  model: Model,
  asked: readonly Question[],
  names: readonly string[],
  options: LoadOptions,
) {
  const { inFlight, seconds, endsWithError = false, sync = false } = options, histogram = newHistogram();
  const errors: Record<string, number> = {}, started = performance.now(), end = started + 1000 * seconds;
  let done = 0, wrong = 0, lastErrorAt = 0;
  const ask = async (first: number): Promise<void> => {
    for (let i = first; performance.now() < end; i++) {
      const { feeds, bits } = asked[i % asked.length]!, from = performance.now();
      try {
        using result = sync ? model.runSync(feeds) : await model.run(feeds);
        histogram.recordValue(Math.round((performance.now() - from) * 1e6));
        done++;
        if (!bitsOf(result, names).every((bytes, output) => equal(bytes, bits[output]!))) wrong++;
      } catch (error) {
        const code = String((error as { code?: unknown }).code ?? error);
        errors[code] = (errors[code] ?? 0) + 1;
        lastErrorAt = now();
        if (endsWithError) return;
      }
    }
  };
  await Promise.all(Array.from({ length: inFlight }, (_, i) => ask(i)));
  const load: Load = {
    done,
    wrong,
    seconds: (performance.now() - started) / 1000,
    errors,
    lastErrorAt,
    histogram: encodeIntoCompressedBase64(histogram),
  };
  return load;
}

/** What several loads that ran at once, or one after the other, come to. */
export interface Together {
  readonly done: number;
  readonly wrong: number;
  readonly failed: number;
  readonly codes: string;
  /** Answers in a second. */
  readonly rate: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly longestUs: number;
}

/** @param rounds the loads of each round, which ran at once */
export function together(rounds: readonly (readonly Load[])[]): Together {
  const all = rounds.flat(), histogram = newHistogram(), codes = new Map<string, number>();
  for (const load of all) {
    histogram.add(decodeFromCompressedBase64(load.histogram) as Histogram);
    for (const [code, count] of Object.entries(load.errors)) codes.set(code, (codes.get(code) ?? 0) + count);
  }
  const total = (value: (load: Load) => number): number => all.reduce((sum, load) => sum + value(load), 0);
  const seconds = rounds.reduce((sum, round) => sum + Math.max(...round.map(({ seconds }) => seconds)), 0);
  return {
    done: total(({ done }) => done),
    wrong: total(({ wrong }) => wrong),
    failed: [...codes.values()].reduce((sum, count) => sum + count, 0),
    codes: [...codes].map(([code, count]) => `${count} ${code}`).join(", "),
    rate: total(({ done }) => done) / seconds,
    p50Us: histogram.getValueAtPercentile(50) / 1000,
    p99Us: histogram.getValueAtPercentile(99) / 1000,
    longestUs: histogram.maxValue / 1000,
  };
}
