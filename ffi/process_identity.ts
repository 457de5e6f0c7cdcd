import process from "node:process";
import { linkTarget, readText } from "./files.ts";

/** What tells a process from every other one, also from a later one of the same number. */
export interface ProcessIdentity {
  /** The number of the pid namespace that `pid` is of. */
  readonly namespace: number;
  readonly pid: number;
  /** When it started, in the kernel's ticks since the machine did; 0 where /proc does not tell. */
  readonly startTime: number;
}

/** Position of the start time in /proc/PID/stat, after the name in parentheses. */
const START_TIME = 19;

let own: ProcessIdentity | undefined;

/** When a process of this pid namespace started; `undefined` where there is none of this number. */
export function startTimeOf(pid: number): number | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  return stat && Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[START_TIME]) || undefined;
}

/** This process. */
export function processIdentity(): ProcessIdentity {
  if (own) return own;
  const namespace = Number(/^pid:\[(\d+)\]$/.exec(linkTarget("/proc/self/ns/pid") ?? "")?.[1] ?? 0);
  const identity = { namespace, pid: process.pid, startTime: startTimeOf(process.pid) ?? 0 };
  if (identity.startTime > 0) own = identity;
  return identity;
}
