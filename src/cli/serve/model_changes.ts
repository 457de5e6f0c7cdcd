import { setTimeout as sleep } from "node:timers/promises";
import { models as registry } from "../../registry/model_registry.ts";
import type { ModelWorker } from "../../worker/model_worker.ts";
import type { ModelChange } from "./messages.ts";

/** How often to look what became of a load, in ms, and how often at most. */
const LOOK_MS = 200, MOST_LOOKS = 3000;

/** Tells what becomes of a worker's models after it is ready: it watches their files, and loads them anew by itself. */
export class ModelChanges {
  readonly #worker: ModelWorker;
  readonly #tell: (change: ModelChange) => void;
  #seen: ReadonlyMap<string, string>;
  /** Models that were loaded, and are not served yet. */
  #pending = 0;
  #following: Promise<void> | undefined;

  constructor(worker: ModelWorker, tell: (change: ModelChange) => void) {
    this.#worker = worker;
    this.#tell = tell;
    this.#seen = statesOf(worker);
    for (const type of ["load", "hit"] as const) registry.addEventListener(type, () => this.#loaded());
    registry.addEventListener("fail", () => setTimeout(() => this.#look(), LOOK_MS).unref());
  }

  /** Loads what was changed, and resolves to whether anything was. */
  async reload(): Promise<boolean> {
    const before = this.#seen;
    await this.#worker.reload().catch(() => {}); // the worker's status says why
    this.#look();
    await this.#following;
    return this.#seen !== before;
  }

  #loaded(): void {
    this.#pending++;
    this.#following ??= this.#follow().finally(() => this.#following = undefined);
  }

  async #follow(): Promise<void> {
    for (let looks = 0; this.#pending > 0 && looks < MOST_LOOKS; looks++) {
      await sleep(LOOK_MS, undefined, { ref: false });
      this.#look();
    }
    this.#pending = 0;
  }

  /** Tells of models that are not as they were seen last. */
  #look(): void {
    const states = statesOf(this.#worker), before = this.#seen;
    const changed = [...states].filter(([model, state]) => state !== before.get(model));
    if (changed.length === 0) return;
    this.#seen = states;
    this.#pending = Math.max(0, this.#pending - changed.length);
    for (const [model, state] of changed) {
      const { problem } = JSON.parse(state) as { problem?: string };
      this.#tell({ model, ...(problem !== undefined && { problem }) });
    }
  }
}

/** Of each model, when it was loaded, and why that failed last. */
function statesOf(worker: ModelWorker): ReadonlyMap<string, string> {
  const { models } = worker.status();
  return new Map(models.map(({ name, loadedAt, problem }) => [name, JSON.stringify({ loadedAt, problem })]));
}
