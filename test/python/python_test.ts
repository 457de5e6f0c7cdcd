import assert from "node:assert/strict";
import process from "node:process";
import { before, describe, it } from "node:test";
import { runChild } from "../support/child.ts";
import { pythonEnvironment, type TestPython } from "../support/python_environment.ts";
import { stockPython } from "../support/stock_client.ts";
import { CASES, type Cases, TORCH_CASES } from "./cases/mod.ts";

const SCRIPT = new URL("./children/run_cases.ts", import.meta.url);

/** A Python with torch, which is too large to be installed for a test: `deno task test:torch` makes one. */
function torchPython(): TestPython {
  const { COLOAD_TEST_TORCH: python } = process.env;
  return python ? { python } : { reason: "COLOAD_TEST_TORCH names no Python that has torch" };
}

const ENVIRONMENTS: readonly (readonly [name: string, python: TestPython, groups: typeof CASES, ...args: string[]])[] =
  [
    ["NumPy 2", await stockPython(), CASES],
    ["NumPy 1", await pythonEnvironment(".coload-python-numpy1", "numpy==1.26.4"), CASES],
    ["torch", torchPython(), TORCH_CASES, "torch"],
  ];

for (const [name, found, groups, ...args] of ENVIRONMENTS) {
  const skip = "reason" in found, why = skip ? `: skipped, ${found.reason}` : "";
  const failures = new Map<string, string | null>();

  describe(`Python with ${name}`, () => {
    before(async () => {
      if (skip) return;
      const { code, stdout, stderr } = await runChild(SCRIPT, [found.python, ...args]);
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
