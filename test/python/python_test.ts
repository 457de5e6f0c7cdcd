import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { runChild } from "../support/child.ts";
import type { TestPython } from "../support/python_environment.ts";
import { CASES, type Cases, TORCH_CASES } from "./cases/mod.ts";
import { SOAK_MS } from "./cases/threads.ts";
import { numpy1, numpy2, torch } from "./environments.ts";

const SCRIPT = new URL("./children/run_cases.ts", import.meta.url);

/** Long beyond what all cases need, the one under load included. */
const WATCHDOG_MS = 60_000 + SOAK_MS;

const ENVIRONMENTS: readonly (readonly [name: string, python: TestPython, groups: typeof CASES, ...args: string[]])[] =
  [
    ["NumPy 2", await numpy2(), CASES],
    ["NumPy 1", await numpy1(), CASES],
    ["torch", torch(), TORCH_CASES, "torch"],
  ];

for (const [name, found, groups, ...args] of ENVIRONMENTS) {
  const skip = "reason" in found, why = skip ? `: skipped, ${found.reason}` : "";
  const failures = new Map<string, string | null>();

  describe(`Python with ${name}`, () => {
    before(async () => {
      if (skip) return;
      const { code, stdout, stderr } = await runChild(SCRIPT, [found.python, ...args], { watchdogMs: WATCHDOG_MS });
      const lines = stdout.trim().split("\n"), end = lines.pop();
      for (const line of lines) {
        const { group, name, failure } = JSON.parse(line);
        failures.set(`${group}: ${name}`, failure);
      }
      assert.deepEqual([code, end], [0, "END"], stderr || stdout);
    });

    for (const [group, cases] of Object.entries(groups) as [string, Cases][]) {
      for (const name of Object.keys(cases)) {
        it(`${group}: ${name}${why}`, { skip }, () => {
          const failure = failures.get(`${group}: ${name}`);
          assert.ok(failure !== undefined, "it did not run");
          assert.ok(failure === null, failure ?? "");
        });
      }
    }
  });
}
