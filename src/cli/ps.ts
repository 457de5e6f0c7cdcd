import { Command, InvalidArgumentError, Option } from "commander";

interface Flags {
  readonly socket?: readonly string[];
  readonly watch?: number;
  readonly json?: boolean;
}

/** Seconds between two looks, where nothing is said. */
const WATCH_S = 2;

const EXAMPLES = `
Memory: "pss" is what a process takes, its part of what it shares with others included; "private" and "shared" are the
two parts of it. Weights that processes share are taken once by all of them together. Latencies count from a request's
arrival at the worker to its answer. "lane": tensors are in shared memory; "bytes": they are sent over the socket.

Examples:
  coload ps
  coload ps --watch
  coload ps --socket /run/models.sock --json`;

function seconds(text: string): number {
  if (!/^[0-9]+(?:\.[0-9]+)?$/.test(text) || Number(text) < 0.1 || Number(text) > 86_400) {
    throw new InvalidArgumentError("Seconds from 0.1 to 86400 wanted.");
  }
  return Number(text);
}

function sockets(text: string, before: readonly string[] = []): readonly string[] {
  if (text === "") throw new InvalidArgumentError("The path of a socket wanted.");
  return [...before, text];
}

/** `coload ps`: says which workers there are, and what they do. */
export function psCommand(): Command {
  return new Command("ps")
    .summary("say which workers run, with their models and clients")
    .description(
      "Say which workers of this user run, what their models do, how many requests there are and how long they take, " +
        "and how much memory the worker and its clients take. Sockets that no worker answers at are shown as such.",
    )
    .option("--socket <path>", "a worker outside of the user's folder; may be repeated", sockets)
    .addOption(
      new Option("--watch [seconds]", "look again and again, until Ctrl-C").argParser(seconds).preset(String(WATCH_S)),
    )
    .option("--json", "for programs to read; with --watch a line for each look")
    .addHelpText("after", EXAMPLES)
    .action(async ({ socket = [], watch, json = false }: Flags) => {
      const { runPs } = await import("./ps/run_ps.ts");
      await runPs({ sockets: socket, everyMs: watch === undefined ? undefined : watch * 1000, json });
    });
}
