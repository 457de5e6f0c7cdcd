/**
 * A process that opens text detection and recognition for N nodes in the way it is told, and prints its memory. It holds
 * a small model besides, so that what onnxruntime itself needs is there with no nodes too.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { InferenceSession, models } from "../mod.ts";
import { endMarker } from "./children.ts";
import { type DemoFiles, findFiles } from "./files.ts";
import type { Sharing } from "./memory.ts";

if (import.meta.main) {
  const [sharing, nodes] = process.argv.slice(2) as [Sharing, string];
  const files = findFiles();
  using _small = await InferenceSession.create(files.direction);
  const sessions = await openModels(files, sharing, Number(nodes));
  console.log(readPss());
  for (const session of sessions) session[Symbol.dispose]();
  console.log(endMarker);
}

async function openModels(files: DemoFiles, sharing: Sharing, nodes: number): Promise<InferenceSession[]> {
  const open = sharing === "shared" ? (path: string) => models.load(path) : InferenceSession.create;
  const sessions: InferenceSession[] = [];
  for (let node = 0; node < nodes; node++) {
    for (const path of [files.detection, files.recognition]) sessions.push(await open(path));
  }
  return sessions;
}

/**
 * The proportional set size of this process's anonymous memory in bytes. Models lie there; the pages of the runtime's
 * own files are left out, since they count for less the more processes of that runtime happen to run.
 */
function readPss(): number {
  const found = /^Pss_Anon:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/smaps_rollup", "utf8"));
  if (!found) throw new Error("Cannot read the memory of this process: wanted a line 'Pss_Anon:' in smaps_rollup");
  return Number(found[1]) * 1024;
}
