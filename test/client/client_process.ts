import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Outcome, outcome } from "../cli/spawn.ts";
import { commandOf, OWN, type Runtime } from "../memory/peers/peer.ts";

const SCRIPT = fileURLToPath(new URL("children/client.ts", import.meta.url));
/** Long beyond what any client of a test lives. */
const WATCHDOG_MS = 60_000;

/** What a client does: see children/client.ts. */
export type Deed = "pair" | "idle" | "disposed" | "in flight" | "given up" | "kill when busy";

/** Runs a client to its end; one that hangs is killed, and has no exit code. */
export async function runClient(
  what: Deed,
  socket: string,
  { runtime = OWN, sharedMemory = true }: { runtime?: Runtime; sharedMemory?: boolean } = {},
): Promise<Outcome> {
  const [program, ...args] = commandOf(runtime, SCRIPT);
  const child = spawn(program!, [...args, what, socket, sharedMemory ? "shared" : "bytes"]);
  const watchdog = setTimeout(() => child.kill("SIGKILL"), WATCHDOG_MS);
  try {
    return await outcome(child);
  } finally {
    clearTimeout(watchdog);
  }
}
