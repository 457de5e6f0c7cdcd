import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { startOrt } from "../../src/ort/environment.ts";
import { ProgressReport } from "../../src/ort/load_progress.ts";
import { modelFile, modelPath } from "../../src/ort/model_source.ts";
import type { NativeSessionOptions } from "../../src/ort/session_options.ts";
import { WeightsCache } from "../../src/weights/cache.ts";
import type { SharingMode } from "../../src/weights/key.ts";
import { prepare, type Prepared } from "../../src/weights/prepare.ts";
import { onBun, outcome } from "../cli/spawn.ts";
import * as models from "../support/models.ts";
import type { Answer, Request, Step } from "./children/request.ts";

/** A folder that goes with its scope. */
export interface ScratchFolder extends Disposable {
  readonly path: string;
  join(...names: string[]): string;
}

/** A new folder, by default among the temporary ones. */
export function scratchFolder(parent: string = tmpdir()): ScratchFolder {
  const folder = mkdtempSync(path.join(parent, "coload-weights-"));
  return {
    path: folder,
    join: (...names) => path.join(folder, ...names),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** What a small model is. */
export interface SmallModel {
  /** Its file's name in the folder; `model.onnx` by default. */
  readonly name?: string;
  readonly byteLength?: number;
  readonly layers?: number;
  readonly external?: boolean | string;
}

/** Writes a model that is just large enough to be worth sharing, of two matrices and 2 MB. */
export function smallModel(folder: string, options: SmallModel = {}): models.WeightsModel {
  const { name = "model.onnx", ...rest } = options;
  return models.writeWeights({ path: path.join(folder, name), byteLength: 2 << 20, layers: 2, ...rest });
}

/** How a copy is prepared beside what matters to most tests. */
export interface PrepareWith {
  readonly options?: NativeSessionOptions;
  readonly force?: boolean;
  readonly signal?: AbortSignal;
  /** Hears of each phase. */
  readonly onPhase?: (phase: string) => void;
}

/** Prepares a model in a cache of its own, whatever this process is configured to. */
export async function prepareIn(
  cacheDir: string,
  model: string,
  mode: SharingMode = "prepacked",
  { options = {}, onPhase, ...rest }: PrepareWith = {},
): Promise<Prepared> {
  await startOrt();
  const { path: file, byteLength } = modelFile(modelPath(model)), cache = WeightsCache.locate(cacheDir);
  using progress = new ProgressReport(onPhase && (({ phase }) => onPhase(phase)));
  progress.totalBytes = byteLength;
  return await prepare({ cache, source: { path: file }, name: file, byteLength, options, mode, progress, ...rest });
}

/** How a child is started. */
export interface ChildOptions {
  readonly library?: string;
  /** A command that runs the rest of its command line. */
  readonly through?: readonly string[];
  /** The whole environment, not additions to this process's. */
  readonly env?: Readonly<Record<string, string>>;
}

const STEPS = fileURLToPath(new URL("children/steps.ts", import.meta.url));
/** Long beyond what any child of a test needs. */
const WATCHDOG_MS = 60_000;

/** Does these steps in a process of its own, with this cache or, without one, the user's; and says what came of each. */
export async function inChild(
  cacheDir: string | undefined,
  steps: readonly Step[],
  { library, through = [], env }: ChildOptions = {},
): Promise<Answer[]> {
  const runtime = onBun ? ["run"] : ["run", "-A", "--quiet", "--no-prompt", "--no-lock", "--node-modules-dir=manual"];
  const request: Request = {
    ...(cacheDir !== undefined && { cacheDir }),
    ...(library !== undefined && { library }),
    steps,
  };
  const [program, ...args] = [...through, process.execPath, ...runtime, STEPS, JSON.stringify(request)];
  const child = spawn(program!, args, { env: { ...(env ?? process.env) } });
  const watchdog = setTimeout(() => child.kill("SIGKILL"), WATCHDOG_MS);
  const { code, stdout, stderr } = await outcome(child).finally(() => clearTimeout(watchdog));
  const lines = stdout.trimEnd().split("\n");
  assert.deepEqual([code, lines.pop()], [0, "END"], stderr);
  return lines.map((line) => JSON.parse(line));
}

/** A command prefix that runs the rest where this shell script has mounted something, `$1` and so on being its arguments. */
export function mounted(script: string, ...args: readonly string[]): string[] {
  return ["unshare", "-Urm", "sh", "-c", `set -e; ${script}; shift ${args.length}; exec "$@"`, "sh", ...args];
}

/** Where the disk under a folder has this size, and is empty. */
export function smallDisk(folder: string, size: string): string[] {
  return mounted('mount -t tmpfs -o "size=$2,mode=700" tmpfs "$1"', folder, size);
}

/** Where a folder is the upper layer of an overlay, over all that it has, as in a container whose image has it. */
export function overlaid(folder: string, parent: string): string[] {
  const mounts = 'mount -t tmpfs tmpfs "$2"; mkdir -m 700 "$2/upper" "$2/work"; ' +
    'mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work,userxattr" overlay "$1"';
  return mounted(mounts, folder, parent);
}

/** Where this file tells of the processor. */
export function otherProcessor(cpuinfo: string): string[] {
  return mounted('mount --bind "$1" /proc/cpuinfo', cpuinfo);
}

/** Where nothing can be written below a folder. */
export function readOnly(folder: string): string[] {
  return mounted('mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"', folder);
}
