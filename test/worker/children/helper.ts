/** Processes of these tests, which say a line of JSON at a time, and end with their input. */
import { type ChildProcess, execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { startScript } from "../../cli/spawn.ts";
import { TemporaryFolder } from "../../cli/temporary_folder.ts";
import type { ServeOptions } from "./serve.ts";

/** Long beyond what any process of a test needs. */
const WATCHDOG_MS = 300_000;

/** Longer than whatever is to be takes. */
const MOST_MS = 15_000;

/** How a process ended. */
export interface End {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stderr: string;
}

/** A process that runs a script of this folder. */
export class Helper implements AsyncDisposable {
  readonly ended: Promise<End>;
  readonly #process: ChildProcess;
  readonly #lines: string[] = [];
  #heard: (() => void) | undefined;
  #end: End | undefined;
  #stderr = "";

  constructor(script: string, args: readonly unknown[] = []) {
    const child = this.#process = startScript(
      new URL(script, import.meta.url).pathname,
      args.map((arg) => typeof arg === "string" ? arg : JSON.stringify(arg)),
    );
    const watchdog = setTimeout(() => this.signal("SIGKILL"), WATCHDOG_MS);
    child.stderr!.on("data", (chunk) => this.#stderr += chunk);
    child.stdin!.on("error", () => {}); // it died, as its end tells
    createInterface({ input: child.stdout! }).on("line", (line) => {
      this.#lines.push(line);
      this.#heard?.();
    });
    this.ended = new Promise((resolve) => {
      child.on("close", (code, signal) => {
        clearTimeout(watchdog);
        this.#end = { code, signal, stderr: this.#stderr };
        this.#heard?.();
        resolve(this.#end);
      });
    });
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** The next thing that it says. @throws when it ends before */
  async next<T>(): Promise<T> {
    while (this.#lines.length === 0) {
      if (this.#end) throw new Error(`A process ended with ${this.#end.code ?? this.#end.signal}\n${this.#end.stderr}`);
      await new Promise<void>((resolve) => this.#heard = resolve);
    }
    return JSON.parse(this.#lines.shift()!);
  }

  /** Says something to it, and resolves with what it says then. */
  ask<T>(what: unknown): Promise<T> {
    this.#process.stdin!.write(JSON.stringify(what) + "\n");
    return this.next();
  }

  signal(signal: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    if (this.#end === undefined) process.kill(this.pid, signal); // the child's own kill() ends its input first, on Deno
  }

  /** Ends it by SIGKILL. */
  kill(): Promise<End> {
    this.signal("SIGKILL");
    return this.ended;
  }

  /** Ends its input, and resolves when it has ended by itself. */
  exit(): Promise<End> {
    this.#process.stdin!.end();
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** A worker in a process of its own. */
export class WorkerProcess extends Helper {
  readonly socket: string;
  readonly #folder: TemporaryFolder | undefined;

  private constructor(socket: string, folder: TemporaryFolder | undefined, options: ServeOptions) {
    super("./serve.ts", [options]);
    this.socket = socket;
    this.#folder = folder;
  }

  /** Starts one, and resolves when it serves. @param options its socket: in a folder that goes with the worker */
  static async start(options: Omit<ServeOptions, "socket"> & { readonly socket?: string }): Promise<WorkerProcess> {
    const folder = options.socket === undefined ? new TemporaryFolder() : undefined;
    const socket = options.socket ?? folder!.join("worker.sock");
    const worker = new WorkerProcess(socket, folder, { ...options, socket });
    try {
      await worker.next();
      return worker;
    } catch (error) {
      await worker[Symbol.asyncDispose]();
      throw error;
    }
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    this.#folder?.[Symbol.dispose]();
  }
}

/** What descriptors of a process lead to. */
export function descriptorsOf(pid: number): string[] {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).flatMap((fd) => {
    try {
      return [readlinkSync(`${folder}/${fd}`).replace(/:\[\d+\]$/, "")];
    } catch {
      return []; // closed meanwhile
    }
  }).sort();
}

/** How many lanes a process has mapped. */
export function lanesOf(pid: number): number {
  return readFileSync(`/proc/${pid}/maps`, "latin1").split("\n").filter((line) => line.includes("coload-lane")).length;
}

/** Resolves when something holds, which it must before long. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = performance.now() + MOST_MS; !await holds();) {
    if (performance.now() > end) throw new Error(`It never came to be that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Why a command prefix cannot be had here; `false` where it can. */
export function unavailable(prefix: readonly string[]): string | false {
  try {
    execFileSync(prefix[0]!, [...prefix.slice(1), "true"], { stdio: "ignore" });
    return false;
  } catch {
    return `${prefix.slice(0, 2).join(" ")} is refused here`;
  }
}
