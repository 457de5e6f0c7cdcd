/** What does `coload prepare` of a large model take, and what does it leave when it is interrupted? */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { RUN_SCRIPT, type RuntimeName, RUNTIMES } from "../support/child.ts";
import { atEnd, ScratchFolder } from "../support/ending.ts";
import { megabytes } from "../support/memory.ts";
import { atMost, type Row, table } from "../support/report.ts";
import type { Models } from "./models.ts";

const LOOK_MS = 20, TIMES_MODEL = 2.2, INTERRUPTED = 130;
const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const BUN = fileURLToPath(new URL("../../node_modules/.bin/bun", import.meta.url));

interface Phase {
  readonly name: string;
  /** Since the process started. */
  readonly atMs: number;
}

interface Ended {
  readonly code: number | null;
  readonly phases: readonly Phase[];
  readonly elapsedMs: number;
  /** Most that it had in memory, pages of files included, as the system keeps it. */
  readonly peak: number;
  /** Most of what it had at a look, its own and its part of what is shared; and that without pages of files. */
  readonly pss: number;
  readonly pssWithoutFiles: number;
}

function commandOf(runtime: RuntimeName): readonly [string, ...string[]] {
  if (runtime === RUNTIMES[0]) return [process.execPath, ...RUN_SCRIPT];
  return runtime === "deno" ? ["deno", "run", "-A", "--quiet"] : [BUN, "run"];
}

function kilobytes(file: string, name: string): number {
  try {
    return 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(readFileSync(file, "utf8"))?.[1] ?? 0);
  } catch { // it has just ended
    return 0;
  }
}

/** Looks at a process until it ends. */
class Watch {
  peak = 0;
  pss = 0;
  pssWithoutFiles = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor({ pid }: ChildProcess) {
    const of = `/proc/${pid}`;
    this.#timer = setInterval(() => {
      const pss = kilobytes(`${of}/smaps_rollup`, "Pss");
      this.peak = Math.max(this.peak, kilobytes(`${of}/status`, "VmHWM"));
      this.pss = Math.max(this.pss, pss);
      this.pssWithoutFiles = Math.max(this.pssWithoutFiles, pss - kilobytes(`${of}/smaps_rollup`, "Pss_File"));
    }, LOOK_MS);
  }

  stop(): Pick<Ended, "peak" | "pss" | "pssWithoutFiles"> {
    clearInterval(this.#timer);
    return { peak: this.peak, pss: this.pss, pssWithoutFiles: this.pssWithoutFiles };
  }
}

/** Prepares a model as a user would. @param onPhase hears of each phase, and may end the process */
function prepare(
  runtime: RuntimeName,
  path: string,
  args: readonly string[],
  onPhase: (name: string, child: ChildProcess) => void = () => {},
): Promise<Ended> {
  const [command, ...before] = commandOf(runtime), started = performance.now(), phases: Phase[] = [];
  const child = spawn(command, [...before, MAIN, "prepare", path, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  const forget = atEnd(() => child.kill("SIGKILL")), watch = new Watch(child), other: string[] = [];
  createInterface({ input: child.stderr! }).on("line", (line) => {
    const name = new RegExp(`^${path}: (.*) \\([0-9.]+ s\\)$`).exec(line)?.[1];
    if (name === undefined) return void other.push(line);
    phases.push({ name, atMs: performance.now() - started });
    onPhase(name, child);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      forget();
      const ended = { code, phases, elapsedMs: performance.now() - started, ...watch.stop() };
      if (code === 0 || code === INTERRUPTED) resolve(ended);
      else reject(new Error(`coload prepare ended with ${code ?? signal}: ${other.join("\n")}`));
    });
  });
}

function peakRow(what: string, { peak, pss, pssWithoutFiles, elapsedMs }: Ended, byteLength: number): Row {
  return {
    what,
    "took s": elapsedMs / 1000,
    "peak (VmHWM) MB": megabytes(peak),
    "x the model": peak / byteLength,
    "PSS peak MB": megabytes(pss),
    "without pages of files MB": megabytes(pssWithoutFiles),
  };
}

function phaseRows(what: string, { phases, elapsedMs }: Ended): Row[] {
  return phases.map(({ name, atMs }, i) => ({
    what,
    phase: name,
    "at s": atMs / 1000,
    "took s": ((phases[i + 1]?.atMs ?? elapsedMs) - atMs) / 1000,
  }));
}

/** What a cache has in it of copies, whole or begun. */
function left(cacheDir: string): string[] {
  const names = (folder: string): string[] => {
    try {
      return readdirSync(join(cacheDir, "weights", folder));
    } catch { // it was never made
      return [];
    }
  };
  return [...names("entries"), ...names("work")];
}

async function interrupt(runtime: RuntimeName, path: string, phase: string): Promise<Row> {
  using scratch = new ScratchFolder();
  const cacheDir = scratch.join("cache");
  let at = Infinity;
  const { code, elapsedMs } = await prepare(runtime, path, ["--dir", cacheDir], (name, child) => {
    if (name !== phase || at !== Infinity) return;
    setTimeout(() => {
      at = performance.now();
      process.kill(child.pid!, "SIGINT"); // by its id: Deno takes an exit code for a signal where it has sent one itself
    }, LOOK_MS);
  });
  const remains = left(cacheDir);
  return {
    "interrupted while": phase,
    "ran s": elapsedMs / 1000,
    "ended after ms": performance.now() - at,
    "exit code": code ?? -1,
    "copies, whole or begun": remains.length,
    bar: `exit ${INTERRUPTED}, nothing left`,
    met: code === INTERRUPTED && remains.length === 0 ? "yes" : "NO",
  };
}

/** Measures and tells. */
export async function measurePrepare(models: Models, runtime: RuntimeName): Promise<void> {
  const { large, external, byteLength } = models, peaks: Row[] = [], phases: Row[] = [];
  let names: string[] = [];
  for (const [what, { path }] of [["weights inside", large], ["external data", external]] as const) {
    for (const mode of ["prepacked", "mapped"]) {
      using scratch = new ScratchFolder();
      const ended = await prepare(runtime, path, ["--mode", mode, "--dir", scratch.join("cache")]),
        name = `${what}, ${mode}`;
      const bar = what === "weights inside" && atMost(ended.peak / byteLength, TIMES_MODEL, " x the model");
      peaks.push({ ...peakRow(name, ended, byteLength), ...bar });
      phases.push(...phaseRows(name, ended));
      if (names.length === 0) names = [...new Set(ended.phases.map(({ name }) => name))];
    }
  }
  table(`${runtime}: coload prepare of the large model`, peaks);
  table(`${runtime}: its phases`, phases);
  const rows: Row[] = [];
  for (const phase of names) rows.push(await interrupt(runtime, large.path, phase));
  table(`${runtime}: Ctrl-C in each phase`, rows);
}
