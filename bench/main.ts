/** Runs every bench, one after the other, each in a process of its own. Names of benches choose some of them. */
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { RUN_SCRIPT } from "./support/child.ts";
import { atEnd } from "./support/ending.ts";

const BENCHES = [
  "calls",
  "views",
  "runs",
  "registry_hits",
  "loop_gaps",
  "abort",
  "sharing",
  "weights",
  "weights_operators",
  "lane",
  "lane_load",
  "lane_batching",
  "lane_deaths",
  "lane_memory",
  "oip",
  "oip_peer",
  "oip_memory",
  "python",
  "arena",
  "rounds",
  "run_loop",
  "shared_open",
  "shared_transfer",
  "shared_copy",
  "shared_allocate",
  "shared_live",
  "shared_soak",
];

/** Resolves with how it ended: `0`, another exit code, or a signal. */
function run(bench: string, options: readonly string[]): Promise<number | string | null> {
  const script = fileURLToPath(new URL(`./${bench}.ts`, import.meta.url));
  const child = spawn(process.execPath, [...RUN_SCRIPT, script, ...options], { stdio: "inherit" });
  const forget = atEnd(() => child.kill("SIGTERM"));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      forget();
      resolve(code ?? signal);
    });
  });
}

if (import.meta.main) {
  const args = process.argv.slice(2), options = args.filter((arg) => arg.startsWith("--"));
  const names = args.filter((arg) => !arg.startsWith("--"));
  const unknown = names.find((name) => !BENCHES.includes(name));
  if (unknown !== undefined) {
    console.error(`Cannot run ${unknown}: the benches are ${BENCHES.join(", ")}`);
    process.exit(2);
  }
  for (const bench of names.length > 0 ? names : BENCHES) {
    const end = await run(bench, options);
    if (end === 0) continue;
    console.error(`${bench} ended with ${end}`);
    process.exitCode = 1;
  }
}
