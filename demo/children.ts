/**
 * Child processes of the same runtime that end with their parent, whatever ends it.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { repository } from "./files.ts";

const living = new Set<ChildProcess>();

/** Ends every child; for the parent's own end. */
export function endChildren(): void {
  for (const child of living) child.kill("SIGKILL");
}

/** What a child prints last: a crash can look like a silent end. */
export const endMarker = "coload-demo-child-end";

/**
 * Runs a script with this process's own runtime and returns what it printed before its end marker.
 *
 * @throws {Error} when the child ends without its marker, or takes longer than `timeoutMs`.
 */
export function runChild(script: string, args: readonly string[], timeoutMs = 60_000): Promise<string> {
  const runtime = process.versions.bun ? [] : ["run", "--allow-all", "--quiet"];
  const child = spawn(process.execPath, [...runtime, script, ...args], {
    cwd: repository,
    stdio: ["ignore", "pipe", "pipe"],
  });
  living.add(child);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  let out = "";
  let errors = "";
  child.stdout.on("data", (chunk) => out += chunk);
  child.stderr.on("data", (chunk) => errors += chunk);
  child.on("error", reject);
  child.on("close", (code) => {
    clearTimeout(timer);
    living.delete(child);
    const [printed, ended] = out.split(endMarker);
    if (ended !== undefined) return resolve(printed.trim());
    const found = timedOut ? `it was still running after ${timeoutMs} ms` : `it ended with ${code}`;
    reject(new Error(`Cannot run ${script} ${args.join(" ")}: wanted its end marker, but ${found}\n${errors}`));
  });
  return promise;
}
