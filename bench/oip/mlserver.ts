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

/** An MLServer of one model, which ends with its scope. */
export class MlServer implements AsyncDisposable {
  readonly server: Server;
  readonly #process: ChildProcess;
  readonly #forget: () => void;

  private constructor(child: ChildProcess, forget: () => void, port: number) {
    this.#process = child;
    this.#forget = forget;
    this.server = { host: "127.0.0.1", port };
  }

  /** @param workers processes that run the model beside the one that answers; 0 has that one run it */
  static async start(
    { python }: PythonEnvironment,
    { name, path }: Case,
    { workers, folder }: { readonly workers: number; readonly folder: ScratchFolder },
  ): Promise<MlServer> {
    const env = {
      ...process.env,
      MLSERVER_MODEL_NAME: name,
      MLSERVER_MODEL_URI: path,
      MLSERVER_HTTP_PORT: "0",
      MLSERVER_GRPC_PORT: "0",
      MLSERVER_PARALLEL_WORKERS: String(workers),
      PYTHONDONTWRITEBYTECODE: "1",
    };
    const log = folder.join(`mlserver-${workers}.log`), output = openSync(log, "w"); // no pipe: that would break with us
    const child = spawn(join(dirname(python), "mlserver"), ["start", FOLDER], {
      cwd: folder.path, // it makes folders where it runs
      env,
      stdio: ["ignore", output, output],
      detached: true, // with its workers it is a group, which ends together
    });
    closeSync(output);
    const forget = atEnd(() => child.kill("SIGTERM")),
      ended = new Promise<never>((_, reject) => {
        child.on("error", reject);
        child.on("close", () => reject(new Error(`MLServer ended:\n${readFileSync(log, "utf8")}`)));
      });
    ended.catch(() => {}); // as it does in the end
    return new MlServer(child, forget, await Promise.race([untilReady(log, name), ended]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#forget();
    await new Promise((resolve) => end(this.#process).once("close", resolve));
  }
}

/**
 * Ends it, and does so also after this process's end: asked, it often ends all but itself, and when it is killed then,
 * Python's tracker removes its semaphores.
 */
function end({ pid }: ChildProcess): ChildProcess {
  const script = `kill -TERM ${pid}; sleep 2; kill -KILL ${pid}; sleep 1; kill -KILL -- -${pid}`;
  return spawn("sh", ["-c", script], { detached: true, stdio: "ignore" });
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
