import { type Outcome, outcome, type ScriptOptions, startScript } from "../cli/spawn.ts";

/** Long beyond what any child of a test needs. */
const WATCHDOG_MS = 60_000;

/** Runs a script to its end; one that hangs is killed, and has no exit code. */
export async function runChild(script: URL, args: readonly string[] = [], options?: ScriptOptions): Promise<Outcome> {
  const child = startScript(script.pathname, args, options);
  const watchdog = setTimeout(() => child.kill("SIGKILL"), WATCHDOG_MS);
  try {
    return await outcome(child);
  } finally {
    clearTimeout(watchdog);
  }
}
