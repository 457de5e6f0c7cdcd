/**
 * A process that opens the OCR models for N nodes in the way it is told, and prints its memory.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { capabilities, InferenceSession, models } from "../mod.ts";
import { endMarker } from "./children.ts";
import { findFiles } from "./files.ts";
import type { Sharing } from "./memory.ts";

if (import.meta.main) {
  const [sharing, nodes] = process.argv.slice(2) as [Sharing, string];
  await capabilities();
  const sessions = await openModels(sharing, Number(nodes));
  console.log(readPss());
  for (const session of sessions) session[Symbol.dispose]();
  console.log(endMarker);
}

async function openModels(sharing: Sharing, nodes: number): Promise<InferenceSession[]> {
  if (sharing === "none") return [];
  const { detection, direction, recognition } = findFiles();
  const open = sharing === "shared" ? (path: string) => models.load(path) : InferenceSession.create;
  const sessions: InferenceSession[] = [];
  for (let node = 0; node < nodes; node++) {
    for (const path of [detection, direction, recognition]) sessions.push(await open(path));
  }
  return sessions;
}

/** The proportional set size of this process in bytes: its own pages, and its part of those it shares. */
function readPss(): number {
  const found = /^Pss:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"));
  if (!found) throw new Error("Cannot read the memory of this process: wanted a line 'Pss:' in smaps_rollup");
  return Number(found[1]) * 1024;
}
