import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Outcome } from "../cli/spawn.ts";
import { pythonEnvironment, runProgram, type TestPython } from "./python_environment.ts";

const REQUIREMENT = "tritonclient[http]==2.73.0";
/** Long beyond what a script needs. */
const SCRIPT_MS = 60_000;

/** The Python of COLOAD_TEST_PYTHON, or one with the stock client from PyPI, and so NumPy 2, which is made once. */
export async function stockPython(): Promise<TestPython> {
  const { COLOAD_TEST_PYTHON: python } = process.env;
  return python ? { python } : await pythonEnvironment(".coload-python", REQUIREMENT);
}

/** Runs a script of Python to its end. */
export function runPython(python: string, script: URL, args: readonly string[]): Promise<Outcome> {
  return runProgram(python, ["-B", fileURLToPath(script), ...args], SCRIPT_MS); // -B: leaves nothing beside it
}
