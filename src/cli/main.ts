#!/usr/bin/env -S deno run -A
/**
 * The `coload` command line. Importing it runs nothing.
 *
 * @module
 */
import process from "node:process";
import { Command, CommanderError } from "commander";
import config from "../../deno.json" with { type: "json" };
import { benchCommand } from "./bench.ts";
import { doctorCommand } from "./doctor.ts";
import { installCommand } from "./install.ts";
import { Interrupted } from "./interrupts.ts";
import { prepareCommand } from "./prepare.ts";
import { psCommand } from "./ps.ts";
import { runCommand } from "./run.ts";
import { serveCommand } from "./serve.ts";

/** Exit code for a command line that cannot be understood. */
const USAGE = 2;

/** Exit codes above it are a signal's. */
const INTERRUPTED = 128;

function program(onEnd: (exitCode: number) => void): Command {
  const coload = new Command("coload")
    .description("One copy of every model on the machine: onnxruntime for Deno and Bun.")
    .version(config.version)
    .enablePositionalOptions()
    .addCommand(installCommand())
    .addCommand(prepareCommand(onEnd))
    .addCommand(serveCommand(onEnd))
    .addCommand(psCommand())
    .addCommand(runCommand(onEnd))
    .addCommand(benchCommand(onEnd))
    .addCommand(doctorCommand(onEnd));
  for (const command of [coload, ...coload.commands]) command.exitOverride().showHelpAfterError("(--help says more)");
  return coload;
}

/** Runs a command line and resolves to its exit code: 0, 1 when it failed, 2 when it cannot be understood. */
export async function main(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  try {
    await program((code) => exitCode = code).parseAsync([...args], { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
    console.error(`coload: ${(error as Error).message}`);
    if (error instanceof Interrupted) return error.exitCode;
    return (error as { code?: string }).code === "INVALID_ARGUMENT" ? USAGE : 1;
  }
}

if (import.meta.main) {
  process.exitCode = await main(process.argv.slice(2));
  if (process.exitCode > INTERRUPTED) process.exit(); // though onnxruntime may be in the middle of something
}
