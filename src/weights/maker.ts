import path from "node:path";
import process from "node:process";
import { writeNewFile } from "../../ffi/file_tree.ts";
import { fileIdentity, readText } from "../../ffi/files.ts";
import { functionPointer } from "../../ffi/libc.ts";
import { ffi } from "../../ffi/mod.ts";
import { processIdentity, startTimeOf } from "../../ffi/process_identity.ts";

/** Who works in a folder. */
interface Maker {
  readonly namespace: number;
  readonly pid: number;
  readonly startTime: number;
  readonly thread: number;
}

const NAME = "maker";

/** Says who works in a folder, for those who wait. @throws {SystemFailure} */
export function signWork(directory: string): void {
  const thread = ffi.bind(functionPointer("gettid"), { parameters: [], result: "i32" })();
  const maker: Maker = { ...processIdentity(), thread };
  writeNewFile(path.join(directory, NAME), new TextEncoder().encode(JSON.stringify(maker)));
}

function parse(text: string): Partial<Maker> {
  try {
    return JSON.parse(text);
  } catch { // it is being written
    return {};
  }
}

/**
 * The process whose thread has worked in a folder and ended, where that process lives on and does nothing about it: the
 * lock is held as long. `undefined` where the thread lives, or nothing can be told.
 */
export function idleMaker(directory: string): number | undefined {
  const text = readText(path.join(directory, NAME));
  const { namespace, pid, startTime, thread } = parse(text ?? "");
  if (pid === undefined) return undefined;
  if (pid === process.pid || namespace !== processIdentity().namespace) return undefined;
  if (startTimeOf(pid) !== startTime || !("error" in fileIdentity(`/proc/${pid}/task/${thread}`))) return undefined;
  return pid;
}
