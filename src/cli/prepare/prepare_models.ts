import { startOrt } from "../../ort/environment.ts";
import { ProgressReport } from "../../ort/load_progress.ts";
import { modelFile, modelPath } from "../../ort/model_source.ts";
import type { SessionOptions } from "../../ort/session_options.ts";
import { WeightsCache } from "../../weights/cache.ts";
import type { SharingMode } from "../../weights/key.ts";
import { prepare } from "../../weights/prepare.ts";
import { Interrupts } from "../interrupts.ts";
import { PhaseBar } from "../progress.ts";
import { formatBytes } from "../../weights/format_bytes.ts";

interface Options {
  readonly mode: SharingMode;
  readonly dim?: Readonly<Record<string, number>>;
  readonly level: NonNullable<SessionOptions["graphOptimizationLevel"]>;
  readonly override?: Readonly<Record<string, number>>;
  readonly force?: boolean;
  readonly dir?: string;
  readonly json?: boolean;
}

/** What became of one model. */
interface Outcome {
  readonly model: string;
  readonly key?: string;
  readonly directory?: string;
  readonly made?: boolean;
  readonly sharedBytes?: number;
  readonly elapsedMs: number;
  /** Why its weights are not shared. */
  readonly problem?: string;
}

async function prepareOne(model: string, options: Options, signal: AbortSignal): Promise<Outcome> {
  const start = performance.now(), { mode, dim, level, override, force, dir } = options;
  using bar = new PhaseBar(model);
  using progress = new ProgressReport((found) => bar.update(found));
  const of = (rest: Partial<Outcome>): Outcome => ({ model, ...rest, elapsedMs: performance.now() - start });
  try {
    await startOrt();
    const { path, byteLength } = modelFile(modelPath(model)), cache = WeightsCache.locate(dir);
    progress.totalBytes = byteLength;
    const { copy, made } = await prepare({
      cache,
      source: { path },
      name: path,
      byteLength,
      options: { graphOptimizationLevel: level, ...(override && { freeDimensionOverrides: override }) },
      mode,
      dimensions: dim ?? {},
      force: force ?? false,
      signal,
      progress,
    });
    const { refused, sharedBytes } = copy.manifest, { key, directory } = copy;
    return of({ key, directory, made, ...(refused === undefined ? { sharedBytes } : { problem: refused }) });
  } catch (error) {
    signal.throwIfAborted();
    return of({ problem: (error as Error).message });
  }
}

function describe({ model, directory, made, sharedBytes, elapsedMs, problem }: Outcome, mode: SharingMode): string {
  if (problem !== undefined) return `${model}: ${directory === undefined ? "" : "not shared: "}${problem}`;
  const seconds = (elapsedMs / 1000).toFixed(1), how = made ? `prepared in ${seconds} s` : "was prepared before";
  return `${model}: ${how}, ${mode}, ${formatBytes(sharedBytes!)} shared\n  ${directory}`;
}

/** Prepares models, one after the other. @returns the exit code: 1 when the weights of one cannot be shared */
export async function prepareModels(models: readonly string[], options: Options): Promise<number> {
  using interrupts = new Interrupts();
  const outcomes: Outcome[] = [];
  for (const model of models) {
    const outcome = await prepareOne(model, options, interrupts.signal);
    outcomes.push(outcome);
    if (options.json) continue;
    const say = outcome.problem === undefined ? console.log : console.error;
    say(describe(outcome, options.mode));
  }
  if (options.json) console.log(JSON.stringify(outcomes, null, 2));
  return outcomes.some(({ problem }) => problem !== undefined) ? 1 : 0;
}
