// Holds models in its registry and times what finds them: see ../registry_hits.ts.
import { models } from "../../mod.ts";
import { answer } from "../support/child.ts";
import { timeGroups } from "../support/timing.mjs";

/** Models that are created at a time. */
const AT_ONCE = 16;

let paths: string[] = [], next = 0;
const map = new Map<string, object>();

/** The next model in turn, by a stride that leaves no two neighbours together: what it needs is in no cache. */
function turn(): string {
  return paths[next = (next + 7919) % paths.length]!;
}

const ways = {
  map: (): object => ({ found: map.get(paths[0]!) }),
  mapInTurn: (): object => ({ found: map.get(turn()) }),
  get: (): void => models.get(paths[0]!)![Symbol.dispose](),
  getInTurn: (): void => models.get(turn())![Symbol.dispose](),
  load: async (): Promise<void> => (await models.load(paths[0]!))[Symbol.dispose](),
  loadInTurn: async (): Promise<void> => (await models.load(turn()))[Symbol.dispose](),
};

await answer({
  async hold(all: string[]): Promise<number> {
    paths = all;
    const rest = [...all];
    while (rest.length > 0) {
      const sessions = rest.splice(0, AT_ONCE).map((path) => models.load(path, { ttlMs: -1 }));
      for (const session of await Promise.all(sessions)) session[Symbol.dispose]();
    }
    for (const path of all) map.set(path, {});
    return models.metrics().totalModels;
  },
  measure: (way: keyof typeof ways, budgetMs: number) => timeGroups(ways[way], budgetMs),
});
