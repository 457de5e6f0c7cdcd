import { type Outcome, outcome, type ScriptOptions, startScript } from "../cli/spawn.ts";

/** Long beyond what any child of a test needs. */
const WATCHDOG_MS = 60_000;

/** Runs a script to its end; one that hangs is killed, and has no exit code. */
export async function runChild(
  script: URL,
  args: readonly string[] = [],
  { watchdogMs = WATCHDOG_MS, ...options }: ScriptOptions & { readonly watchdogMs?: number } = {},
): Promise<Outcome> {
  const child = startScript(script.pathname, args, options);
  const watchdog = setTimeout(() => child.kill("SIGKILL"), watchdogMs);
  try {
    return await outcome(child);
  } finally {
    clearTimeout(watchdog);
  }
}
