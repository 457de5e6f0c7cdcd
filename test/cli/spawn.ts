import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";

/** What a process left behind. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a script is run. */
export interface ScriptOptions {
  readonly cwd?: string;
  /** The whole environment, not additions to this process's. */
  readonly env?: Readonly<Record<string, string>>;
  /** Deno's permission flags, if not all. */
  readonly permissions?: readonly string[];
}

/** Whether these tests run under Bun. */
export const onBun: boolean = "Bun" in globalThis;

/** Starts a script under the runtime of these tests. */
export function startScript(script: string, args: readonly string[] = [], options: ScriptOptions = {}): ChildProcess {
  const { cwd, env, permissions = ["-A"] } = options;
  const runtime = onBun ? ["run"] : ["run", "--quiet", "--no-prompt", "--no-lock", ...permissions];
  return spawn(process.execPath, [...runtime, script, ...args], { cwd, env: { ...(env ?? process.env) } });
}

/** Resolves when a process has ended. */
export async function outcome(child: ChildProcess): Promise<Outcome> {
  let stdout = "", stderr = "";
  child.stdout!.on("data", (chunk) => stdout += chunk);
  child.stderr!.on("data", (chunk) => stderr += chunk);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, stdout, stderr };
}

/** Runs a script to its end. */
export function runScript(script: string, args?: readonly string[], options?: ScriptOptions): Promise<Outcome> {
  return outcome(startScript(script, args, options));
}

/** Two at a time, since each is a process. */
export async function inPairs<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let i = 0; i < all.length; i += 2) results.push(...await Promise.all(all.slice(i, i + 2).map(work)));
  return results;
}
