/** How benches tell what they found: a table to read, or with `--json` one JSON object a line. */
import { arch, cpus, release, totalmem, type } from "node:os";
import process from "node:process";
import { ffi } from "../../ffi/mod.ts";
import { ort, startOrt } from "../../src/ort/environment.ts";
import { nodeVersion } from "./peer.ts";

/** One line of a table: a column's name holds its unit. */
export type Row = Record<string, string | number | undefined>;

/** What stands beside a figure that has to be reached. */
export interface Bar {
  readonly bar: string;
  readonly met: "yes" | "NO";
}

const json = process.argv.includes("--json");

/** Says whether a figure is as small as it has to be. */
export function atMost(value: number, limit: number, unit = ""): Bar {
  return { bar: `<= ${limit}${unit}`, met: value <= limit ? "yes" : "NO" };
}

/** Says whether a figure is as large as it has to be. */
export function atLeast(value: number, limit: number, unit = ""): Bar {
  return { bar: `>= ${limit}${unit}`, met: value >= limit ? "yes" : "NO" };
}

function shown(value: string | number | undefined): string {
  if (typeof value !== "number") return value ?? "";
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toFixed(digits);
}

/** Says what measures and where: the machine, the versions, the date. */
export async function header(question: string): Promise<void> {
  await startOrt();
  const cores = cpus(), memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  const machine = `${cores.length} x ${cores[0]?.model ?? "?"} ${arch()}, ${memory}, ${type()} ${release()}`;
  const versions = `${ffi.runtime}, onnxruntime ${ort().version}, peer onnxruntime-node on node ${
    nodeVersion() ?? "-"
  }`;
  const date = new Date().toISOString().slice(0, 16) + "Z";
  if (json) console.log(JSON.stringify({ question, machine, versions, date }));
  else console.log(`\n${question}\n${machine}\n${versions}\n${date}\n`);
}

/** Prints rows of the same columns. */
export function table(title: string, rows: readonly Row[]): void {
  if (json) {
    for (const row of rows) console.log(JSON.stringify({ title, ...row }));
    return;
  }
  const columns = [...new Set(rows.flatMap(Object.keys))];
  const cells = [columns, ...rows.map((row) => columns.map((column) => shown(row[column])))];
  const widths = columns.map((_, c) => Math.max(...cells.map((line) => line[c]!.length)));
  const left = columns.map((_, c) => rows.every((row) => typeof row[columns[c]!] !== "number"));
  console.log(title);
  for (const line of cells) {
    const padded = line.map((cell, c) => left[c] ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!));
    console.log(`  ${padded.join("  ").trimEnd()}`);
  }
  console.log();
}

/** Prints a remark. */
export function remark(text: string): void {
  console.log(json ? JSON.stringify({ remark: text }) : `  ${text}`);
}
