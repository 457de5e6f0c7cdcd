/** What do several sessions of one process hold, and Workers with a session each? */
import { setTimeout as wait } from "node:timers/promises";
import type { RuntimeName } from "../support/child.ts";
import { megabytes } from "../support/memory.ts";
import { type Row, table } from "../support/report.ts";
import type { Held } from "./held.ts";
import { type Models, startHolder, type Way, WAYS } from "./models.ts";

const COUNT = 4, IDLE_MS = 2500;

/** Growth of PSS, in bytes, beyond the same process (and Workers) without a model. */
async function growth(models: Models, runtime: RuntimeName, way: Way, sessions: number, inWorkers: boolean) {
  using child = await startHolder(models, runtime);
  if (inWorkers) await child.ask("workers", sessions);
  const before = await child.ask<Held>("held");
  if (inWorkers) await child.ask("loadInWorkers", models.large, way);
  else await child.ask("load", new Array(sessions).fill(models.large), way);
  await wait(IDLE_MS);
  return (await child.ask<Held>("held")).pss - before.pss;
}

/** Measures and tells. */
export async function measureInside(models: Models, runtime: RuntimeName): Promise<void> {
  const cases: [string, number, boolean][] = [
    ["1 session", 1, false],
    [`${COUNT} sessions, each created`, COUNT, false],
    [`${COUNT} Workers with a session each`, COUNT, true],
  ];
  const rows: Row[] = [];
  for (const [what, sessions, inWorkers] of cases) {
    const found: Record<string, number> = {};
    for (const [name, way] of Object.entries(WAYS)) {
      found[name] = await growth(models, runtime, way, sessions, inWorkers);
    }
    const { plain, prepacked, mapped } = found as Record<keyof typeof WAYS, number>;
    rows.push({
      what,
      "plain MB": megabytes(plain),
      "prepacked MB": megabytes(prepacked),
      "mapped MB": megabytes(mapped),
      "prepacked saves %": 100 * (1 - prepacked / plain),
      "mapped saves %": 100 * (1 - mapped / plain),
    });
  }
  table(`${runtime}, one process: PSS growth with the large model, idle`, rows);
}
