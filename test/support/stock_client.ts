import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Outcome, outcome } from "../cli/spawn.ts";

const REQUIREMENT = "tritonclient[http]==2.73.0";
const FOLDER = fileURLToPath(new URL("../../node_modules/.coload-python", import.meta.url));
const INSTALL = fileURLToPath(new URL("stock_client_install.py", import.meta.url));
/** Long beyond what either of them needs. */
const INSTALL_MS = 300_000, SCRIPT_MS = 60_000;

const MADE: Outcome = { code: 0, stdout: "", stderr: "" };

/** Where there is a Python that has the stock client, or why there is none. */
export type StockPython = { readonly python: string } | { readonly reason: string };

/** The Python of COLOAD_TEST_PYTHON, or one with the stock client from PyPI, which is made once. */
export async function stockPython(): Promise<StockPython> {
  const { COLOAD_TEST_PYTHON: python } = process.env;
  if (python) return { python };
  const made = `${FOLDER}/made`; // what the installation leaves last
  const isMade = existsSync(made) && readFileSync(made, "utf8") === REQUIREMENT;
  const { code, stderr } = isMade ? MADE : await run("python3", [INSTALL, FOLDER, REQUIREMENT], INSTALL_MS);
  if (code === 0) return { python: `${FOLDER}/bin/python` };
  return { reason: stderr.trim().split("\n").at(-1) || "python3 was not to be had" };
}

/** Runs a script of Python to its end. */
export function runPython(python: string, script: URL, args: readonly string[]): Promise<Outcome> {
  return run(python, ["-B", fileURLToPath(script), ...args], SCRIPT_MS); // -B: leaves nothing beside it
}

/** Runs a program to its end; one that hangs is killed, one that is not there has no exit code. */
async function run(program: string, args: readonly string[], watchdogMs: number): Promise<Outcome> {
  const child = spawn(program, args), watchdog = setTimeout(() => child.kill("SIGKILL"), watchdogMs);
  const absent = new Promise<Outcome>((resolve) =>
    child.once("error", ({ message: stderr }) => resolve({ code: null, stdout: "", stderr }))
  );
  try {
    return await Promise.race([outcome(child), absent]);
  } finally {
    clearTimeout(watchdog);
  }
}
