/** Which cores processes run on: two ends of a call that wait for each other by spinning need one each. */
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import process from "node:process";

/** Cores as `taskset` names them. */
export const FIRST = "0", SECOND = "1", ALL: string = `0-${availableParallelism() - 1}`;

/** Moves this process with all its threads to some cores. Whether that could be done. */
export function pinTo(cores: string): boolean {
  return spawnSync("taskset", ["-a", "-c", "-p", cores, String(process.pid)]).status === 0;
}

/** A process that can be told to {@linkcode pinTo} cores. */
export interface Pinnable {
  ask<T>(action: "pin", cores: string): Promise<T>;
}

/** Gives this process one core and others another one, or lets all run anywhere. Whether that could be done. */
export async function separate(others: readonly Pinnable[], apart: boolean): Promise<boolean> {
  if (availableParallelism() < 2) return false;
  const done = await Promise.all(others.map((other) => other.ask<boolean>("pin", apart ? SECOND : ALL)));
  return pinTo(apart ? FIRST : ALL) && done.every((one) => one);
}
