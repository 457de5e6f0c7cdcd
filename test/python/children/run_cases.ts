// Runs the cases in this process, whose Python is that of an interpreter: run_cases.ts EXECUTABLE [torch]
import process from "node:process";
import { Python } from "../../../src/python/mod.ts";
import { collectUntil } from "../../support/gc.ts";
import { left } from "../../support/left.ts";
import { CASES, TORCH_CASES } from "../cases/mod.ts";

const [executable, torch] = process.argv.slice(2), python = Python.open({ executable: executable! });

/** What was wrong, and where; `null` for nothing. */
async function failureOf(work: () => void | Promise<void>): Promise<string | null> {
  try {
    await work();
    const isClean = await collectUntil(() => Object.keys(left()).length === 0);
    return isClean ? null : `it has left ${JSON.stringify(left())}`;
  } catch (error) {
    return (error as Error).stack ?? String(error);
  }
}

for (const [group, cases] of Object.entries(torch ? TORCH_CASES : CASES)) {
  for (const [name, work] of Object.entries(cases)) {
    const failure = await failureOf(() => work(python));
    console.log(JSON.stringify({ group, name, failure }));
  }
}
console.log("END");
