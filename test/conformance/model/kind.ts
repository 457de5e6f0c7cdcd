import assert from "node:assert/strict";
import { after, before } from "node:test";
import type { Feeds, Model, RunSyncOptions, Tensors } from "../../../mod.ts";
import type { failure } from "../../support/sessions.ts";

/** Models by their names, for as long as they are wanted. */
export interface OpenModels extends AsyncDisposable {
  model(name: string): Promise<Model & AsyncDisposable>;
}

/** A way to have a `Model`. */
export interface ModelKind {
  readonly name: string;
  /** Whether C works on shared tensors, and not on copies. */
  readonly sharesMemory: boolean;
  open(models: Readonly<Record<string, Uint8Array>>): Promise<OpenModels>;
}

/** What `failure` makes. */
export type Failure = ReturnType<typeof failure>;

/** The models of one suite, opened before its tests. */
export class ModelsUnderTest<N extends string> {
  readonly kind: ModelKind;
  readonly #models = new Map<N, Model & AsyncDisposable>();

  /** Within a `describe`. */
  constructor(kind: ModelKind, models: Readonly<Record<N, Uint8Array>>) {
    this.kind = kind;
    let open: OpenModels;
    before(async () => {
      open = await kind.open(models);
      for (const name of Object.keys(models) as N[]) this.#models.set(name, await open.model(name));
    });
    after(async () => {
      for (const model of this.#models.values()) await model[Symbol.asyncDispose]();
      await open[Symbol.asyncDispose]();
    });
  }

  get(name: N): Model {
    return this.#models.get(name)!;
  }

  /** The result of every way of running, one after the other. The caller disposes of each before the next. */
  async *results(name: N, feeds: Feeds, options?: RunSyncOptions): AsyncGenerator<Tensors> {
    const model = this.get(name);
    yield model.runSync(feeds, options);
    yield model.runSync(feeds, options); // laid out as the one before
    yield await model.run(feeds, options);
    yield await model.run(feeds, options);
  }

  /** Every way of running refuses these. */
  async refuses(name: N, feeds: unknown, options: unknown, expected: Failure | { name: string }): Promise<void> {
    const model = this.get(name), [given, how] = [feeds as Feeds, options as RunSyncOptions];
    assert.throws(() => model.runSync(given, how), expected);
    await assert.rejects(model.run(given, how), expected);
  }
}
