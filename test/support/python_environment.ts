import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Outcome, outcome } from "../cli/spawn.ts";

const INSTALL = fileURLToPath(new URL("python_environment.py", import.meta.url));
/** Long beyond what it needs. */
const INSTALL_MS = 300_000;

const MADE: Outcome = { code: 0, stdout: "", stderr: "" };

/** Where there is a Python that has what is needed, or why there is none. */
export type TestPython = { readonly python: string } | { readonly reason: string };

/** A virtual environment with packages of PyPI, with spaces between them, made once under `node_modules`. */
export async function pythonEnvironment(name: string, requirement: string): Promise<TestPython> {
  const folder = fileURLToPath(new URL(`../../node_modules/${name}`, import.meta.url));
  const made = `${folder}/made`; // what the installation leaves last
  const isMade = existsSync(made) && readFileSync(made, "utf8") === requirement;
  const { code, stderr } = isMade ? MADE : await runProgram("python3", [INSTALL, folder, requirement], INSTALL_MS);
  if (code === 0) return { python: `${folder}/bin/python` };
  return { reason: stderr.trim().split("\n").at(-1) || "python3 was not to be had" };
}

/** Runs a program to its end; one that hangs is killed, one that is not there has no exit code. */
export async function runProgram(program: string, args: readonly string[], watchdogMs: number): Promise<Outcome> {
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
