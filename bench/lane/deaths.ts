/** What it takes to kill some processes, and to tell what became of the others. */
import { readdirSync } from "node:fs";
import process from "node:process";
import type { Child } from "../support/child.ts";
import { percentile } from "../support/contest.ts";
import { atMost, type Row } from "../support/report.ts";
import { now } from "./load.ts";

/** Clients, and requests in flight of each. */
export const CLIENTS = 10, IN_FLIGHT = 10;
/** How long the load goes on before something is killed. */
export const BEFORE_MS = 1000;
/** After so long a request hangs. */
export const HANGS_MS = 10_000;

/** Names in shared memory that were not there before. */
export function leftSince(before: readonly string[]): number {
  return inSharedMemory().filter((name) => !before.includes(name)).length;
}

/** All names in shared memory. */
export function inSharedMemory(): string[] {
  return readdirSync("/dev/shm");
}

/** Kills processes, and returns when. */
export async function kill(...children: readonly Child[]): Promise<number> {
  const pids = await Promise.all(children.map((child) => child.ask<number>("pid"))), at = now();
  for (const pid of pids) process.kill(pid, "SIGKILL");
  return at;
}

/** How long something took in each round. The slowest one counts, and that nothing else was wrong. */
export function timesRow(
  what: string,
  times: readonly number[],
  limitMs: number,
  isRight: boolean,
  right: string,
): Row {
  const longest = Math.max(...times), bar = atMost(longest, limitMs, ` ms, ${right}`);
  return {
    what,
    rounds: times.length,
    "median ms": percentile(times, 0.5),
    "longest ms": longest,
    ...bar,
    met: isRight ? bar.met : "NO",
  };
}
