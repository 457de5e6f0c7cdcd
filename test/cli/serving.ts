import type { ChildProcess } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Outcome, outcome, startScript } from "./spawn.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
/** Long beyond what anything here needs. */
const WATCHDOG_MS = 60_000;

/** A line of `coload serve --json`. */
export interface ServeEvent {
  readonly event: string;
  readonly [key: string]: unknown;
}

/** A folder with models, and the sockets of its own workers. */
export class ServingFolder extends TemporaryFolder {
  readonly sockets: string = this.join("run", "coload");
  readonly socket: string = this.join("run", "coload", "worker.sock");
  readonly env: Readonly<Record<string, string>>;

  /** @param cache the user's cache, where it is not to be the one of this process */
  constructor(cache?: string) {
    super();
    mkdirSync(this.join("run"));
    const env = process.env as Record<string, string>, { HOME, XDG_CACHE_HOME = join(HOME ?? "/", ".cache") } = env;
    const { DENO_DIR = join(XDG_CACHE_HOME, "deno") } = env;
    const caches = cache === undefined ? {} : { XDG_CACHE_HOME: cache, DENO_DIR };
    this.env = { ...env, ...caches, XDG_RUNTIME_DIR: this.join("run") };
  }

  /** Writes a model, and returns its path. */
  model(name: string, bytes: Uint8Array): string {
    writeFileSync(this.join(name), bytes);
    return this.join(name);
  }

  /** What workers have left. */
  get left(): readonly string[] {
    return readdirSync(this.join("run"), { recursive: true }).map(String).filter((name) => name !== "coload");
  }

  /** Runs a command to its end. */
  coload(...args: string[]): Promise<Outcome> {
    return outcome(this.start(...args));
  }

  /** Starts `coload serve --json`. */
  serve(...args: string[]): Serving {
    return new Serving(this.start("serve", "--json", ...args));
  }

  /** Starts a command, which is killed if it hangs. */
  start(...args: string[]): ChildProcess {
    const child = startScript(MAIN, args, { env: this.env });
    const watchdog = setTimeout(() => child.kill("SIGKILL"), WATCHDOG_MS);
    child.once("close", () => clearTimeout(watchdog));
    return child;
  }
}

/** A `coload serve` that runs. When disposed it is killed, if it has not ended. */
export class Serving implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  readonly #events: ServeEvent[] = [];
  #told = Promise.withResolvers<void>();
  #isEnded = false;

  constructor(child: ChildProcess) {
    this.#child = child;
    createInterface({ input: child.stderr! }).on("line", (line) => {
      this.#events.push(JSON.parse(line));
      this.#tell();
    });
    this.#ended = new Promise((resolve) =>
      child.once("close", (code) => {
        this.#isEnded = true;
        this.#tell();
        resolve(code);
      })
    );
  }

  /** The next event of a kind; those before it are forgotten. */
  async event(kind: string): Promise<ServeEvent> {
    for (const skipped: string[] = [];; await this.#told.promise) {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        if (next.event === kind) return next;
        skipped.push(JSON.stringify(next));
      }
      if (this.#isEnded) throw new Error(`it ended without "${kind}": ${skipped.join("\n")}`);
    }
  }

  /** Sends a signal to the process that looks after the worker. */
  kill(signal: NodeJS.Signals): void {
    process.kill(this.#child.pid!, signal); // Deno takes what `ChildProcess.kill` sends for how the process ended
  }

  /** Resolves to the exit code when it has ended. */
  ended(): Promise<number | null> {
    return this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isEnded) return;
    this.#child.kill("SIGKILL");
    await this.#ended; // the worker has standard error, too
  }

  #tell(): void {
    this.#told.resolve();
    this.#told = Promise.withResolvers();
  }
}

/** Resolves when a process has ended that is no child of this one. */
export async function gone(pid: number): Promise<void> {
  for (const begin = performance.now(); isAlive(pid);) {
    if (performance.now() - begin > WATCHDOG_MS) throw new Error(`process ${pid} goes on`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Whether it runs: one that has ended, and whose parent did not see it, does not. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
