/**
 * What the demo tells of its results.
 *
 * @module
 */
import { basename } from "node:path";
import { models } from "../mod.ts";
import type { HandOverReport } from "./hand_over.ts";
import type { LoopReport } from "./loop.ts";
import type { MemoryReport } from "./memory.ts";
import type { Line } from "./ocr/read.ts";
import type { Results } from "./pipeline.ts";
import { heading, line, megabytes, milliseconds, table } from "./print.ts";

/** What was heard and read. */
export function reportResults({ heard, readers }: Results): void {
  heading("Speech", "silero VAD");
  table(
    [{ right: "start" }, { right: "end" }, { right: "length" }],
    heard.segments.map(({ start, end }) =>
      [start, end, end - start].map((seconds) => ({ right: `${seconds.toFixed(2)} s` }))
    ),
  );
  const [first, ...others] = readers;
  heading("Text", "PP-OCRv4");
  table([{ right: "score" }, "text"], first.lines.map(({ score, text }) => [{ right: score.toFixed(2) }, text]));
  for (const { name, lines } of others) {
    line(`${name}: ${sameLines(first.lines, lines)} of ${first.lines.length} lines read the same`);
  }
}

/** How many lines two readings have in common, blanks aside. */
function sameLines(a: readonly Line[], b: readonly Line[]): number {
  const rest = b.map(({ text }) => text.replace(/\s/g, ""));
  return a.filter(({ text }) => {
    const at = rest.indexOf(text.replace(/\s/g, ""));
    return at >= 0 && rest.splice(at, 1).length === 1;
  }).length;
}

/** What the registry did for the pipeline. */
export function reportRegistry(): void {
  const { cacheHits, cacheMisses, loads, hitRate, totalMemoryBytes } = models.metrics();
  heading("Loads against requests", "models.metrics()");
  table(
    [{ right: "requests" }, { right: "loads" }, { right: "hit rate" }, { right: "memory" }],
    [[cacheHits + cacheMisses, loads, `${Math.round(hitRate * 100)} %`, megabytes(totalMemoryBytes)]
      .map((value) => ({ right: String(value) }))],
  );
  line(`in memory now: ${models.list().map(({ key }) => basename(key)).join(", ")}`);
}

/** What a hit and a run cost the caller. */
export function reportLoop(hitMicroseconds: number, { idle, run, runSync, oneRun }: LoopReport): void {
  heading("A hit of the registry", "models.get() and its release, median");
  line(`${hitMicroseconds.toFixed(2)} us`);
  heading(
    "Is the event loop free?",
    `longest wait of a 1 ms timer while text detection (${milliseconds(oneRun)}) runs`,
  );
  table(
    ["nothing runs", "run()", "runSync()"].map((right) => ({ right })),
    [[idle, run, runSync].map((ms) => ({ right: milliseconds(ms) }))],
  );
}

/** What it takes to give a tensor to another process. */
export function reportHandOver({ byteLength, byReference, throughSocket, wroteBack }: HandOverReport): void {
  heading("A tensor for another process", `${megabytes(byteLength)} of frames, until it has the last element`);
  table(
    ["by reference", "as bytes through a socket", "times as long"].map((right) => ({ right })),
    [[
      `${byReference.toFixed(1)} us`,
      milliseconds(throughSocket / 1000),
      `${Math.round(throughSocket / byReference)}`,
    ].map((right) => ({ right }))],
  );
  if (wroteBack) line("what the other process wrote into it is there: the memory is the same");
}

/** What sharing saves. */
export function reportMemory({ base, rows }: MemoryReport): void {
  const beyond = `PSS of real processes beyond the ${megabytes(base)} of one without nodes`;
  heading("What sharing saves", `text detection and recognition in every node, ${beyond}`);
  table(
    ["nodes", "each its own", "shared", "saved"].map((right) => ({ right })),
    rows.map(({ nodes, separate, shared }) => [
      { right: String(nodes) },
      { right: megabytes(separate) },
      { right: megabytes(shared) },
      { right: `${((1 - shared / separate) * 100).toFixed(1)} %` },
    ]),
  );
}
