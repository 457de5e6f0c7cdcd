import { readText } from "../../ffi/files.ts";
import { ffi } from "../../ffi/mod.ts";

/** What of a processor decides how weights are laid out for it. */
export interface Processor {
  readonly architecture: string;
  /** Its make and model, as the kernel tells. */
  readonly model: string;
  /** Its instruction sets, sorted. */
  readonly features: readonly string[];
}

/** Lines of /proc/cpuinfo that tell processors apart, on x64 and on arm64. */
const MODEL_LINES = /^(?:vendor_id|cpu family|model|CPU implementer|CPU part)\s*:\s*(.*)$/gm;
const FEATURE_LINES = /^(?:flags|Features)\s*:\s*(.*)$/gm;
/** Some hundred processors' worth: all of a kind are of one model, and big and little ones come first or last. */
const MAX_CPUINFO_BYTES = 1 << 20;

let found: Processor | undefined;

/** This machine's processor; `undefined` where the kernel does not tell, and then nothing prepared can be trusted. */
export function processor(): Processor | undefined {
  return found ??= read();
}

function read(): Processor | undefined {
  const read = readText("/proc/cpuinfo", MAX_CPUINFO_BYTES) ?? "",
    text = read.length < MAX_CPUINFO_BYTES ? read : read.slice(0, read.lastIndexOf("\n\n") + 1); // whole entries
  const values = (lines: RegExp): string[] => [...new Set([...text.matchAll(lines)].map((match) => match[1]!))];
  const features = values(FEATURE_LINES);
  if (features.length === 0) return undefined;
  const all = new Set(features.flatMap((line) => line.split(" ")).filter((name) => name !== ""));
  return { architecture: ffi.arch, model: values(MODEL_LINES).join(" "), features: [...all].sort() };
}
