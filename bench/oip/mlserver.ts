/** The peer from PyPI: MLServer, with a small runtime of ours that runs a model by Python's onnxruntime. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Case } from "../support/cases.ts";
import { atEnd, type ScratchFolder } from "../support/ending.ts";
import type { Server } from "./requests.ts";

const FOLDER = fileURLToPath(new URL("../children/oip_mlserver/", import.meta.url));
const ENVIRONMENT = "node_modules/.coload-bench-python", NAMED_BY = "COLOAD_BENCH_PYTHON";
const LOOK_MS = 100;
const VERSIONS =
  "import mlserver, onnxruntime as o, sys; print(mlserver.__version__, o.__version__, sys.version.split()[0])";

/** Where the environment's Python is, and what is in it. */
export interface PythonEnvironment {
  readonly python: string;
  readonly versions: string;
}

/** What to do where there is no environment. */
export const HOW_TO_MAKE = `There is no Python with MLServer. Make it once, in this project's folder:
  python3 -m venv ${ENVIRONMENT}
  ${ENVIRONMENT}/bin/pip install -r bench/children/oip_mlserver/requirements.txt
or name the python of another environment that has these by ${NAMED_BY}.`;

/** Looks for the environment. */
export function findPython(): PythonEnvironment | undefined {
  const ours = fileURLToPath(new URL(`../../${ENVIRONMENT}/bin/python`, import.meta.url));
  const python = process.env[NAMED_BY] ?? ours, server = join(dirname(python), "mlserver");
  if (!existsSync(server)) return undefined;
  const { status, stdout } = spawnSync(python, ["-c", VERSIONS]);
  if (status !== 0) return undefined;
  const [mlserver, onnxruntime, version] = String(stdout).trim().split(" ");
  return { python, versions: `MLServer ${mlserver}, onnxruntime ${onnxruntime} on Python ${version}` };
}

/**
 * An MLServer of one model, which ends with its scope. It runs the model in the process that answers: with a process for
 * the model, as it does unless told otherwise, it takes twice as long.
 */
export class MlServer implements Disposable {
  readonly server: Server;
  readonly #process: ChildProcess;
  readonly #forget: () => void;

  private constructor(child: ChildProcess, forget: () => void, port: number) {
    this.#process = child;
    this.#forget = forget;
    this.server = { host: "127.0.0.1", port };
  }

  /** Starts it, and resolves when it answers. */
  static async start({ python }: PythonEnvironment, { name, path }: Case, folder: ScratchFolder): Promise<MlServer> {
    const env = {
      ...process.env,
      MLSERVER_MODEL_NAME: name,
      MLSERVER_MODEL_URI: path,
      MLSERVER_HTTP_PORT: "0",
      MLSERVER_GRPC_PORT: "0",
      MLSERVER_PARALLEL_WORKERS: "0",
      PYTHONDONTWRITEBYTECODE: "1",
    };
    const log = folder.join("mlserver.log"), output = openSync(log, "w");
    const child = spawn(join(dirname(python), "mlserver"), ["start", FOLDER], {
      cwd: folder.path, // it makes folders where it runs
      env,
      stdio: ["ignore", output, output],
    });
    closeSync(output);
    const forget = atEnd(() => child.kill("SIGKILL"));
    let isStarted = false;
    const ended = new Promise<never>((_, reject) => {
      child.on("error", reject);
      child.once("close", () => {
        if (!isStarted) reject(new Error(`MLServer ended:\n${readFileSync(log, "utf8")}`));
      });
    });
    const port = await Promise.race([untilReady(log, name), ended]);
    isStarted = true; // from here on it may end
    return new MlServer(child, forget, port);
  }

  [Symbol.dispose](): void {
    this.#process.kill("SIGKILL");
    this.#forget();
  }
}

/** Resolves with the port when the model answers. */
async function untilReady(log: string, model: string): Promise<number> {
  for (;; await wait(LOOK_MS)) {
    const port = /running on http:\/\/127\.0\.0\.1:(\d+) /.exec(readFileSync(log, "utf8"))?.[1];
    if (port === undefined) continue;
    const isReady = fetch(`http://127.0.0.1:${port}/v2/models/${model}/ready`).then(({ ok }) => ok, () => false);
    if (await isReady) return Number(port);
  }
}
