import { describe } from "node:test";
import { dtypesOf } from "./model/dtypes.ts";
import { feedsOf } from "./model/feeds.ts";
import { flightOf } from "./model/flight.ts";
import { givenOutputsOf } from "./model/given_outputs.ts";
import type { ModelKind } from "./model/kind.ts";
import { outputsOf } from "./model/outputs.ts";

export type { ModelKind, OpenModels } from "./model/kind.ts";

/** What every `Model` does, wherever it runs. */
export function modelsOf(kind: ModelKind): void {
  describe(`a model ${kind.name}`, () => {
    feedsOf(kind);
    dtypesOf(kind);
    outputsOf(kind);
    givenOutputsOf(kind);
    flightOf(kind);
  });
}
