/** Processes of either runtime that do as they are asked: one JSON message a line, and one answer to each. */
import { type ChildProcess, spawn, spawnSync, type StdioOptions } from "node:child_process";
import { existsSync, readdirSync, readlinkSync } from "node:fs";
import path from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onBun } from "../../cli/spawn.ts";
import { ROOT } from "../../support/imports.ts";
import type { Actions } from "./actions.ts";

/** A runtime that Coload works on. */
export type Runtime = "deno" | "bun";

/** The runtime of these tests, and the other one. */
export const OWN: Runtime = onBun ? "bun" : "deno", OTHER: Runtime = onBun ? "deno" : "bun";

/** Who sends to whom. */
export const PAIRINGS: readonly (readonly [Runtime, Runtime])[] = [
  ["deno", "deno"],
  ["deno", "bun"],
  ["bun", "deno"],
  ["bun", "bun"],
];

const SCRIPT = fileURLToPath(new URL("script.ts", import.meta.url));
/** Long beyond what any peer of a test needs. */
const WATCHDOG_MS = 60_000;

function find(runtime: Runtime): string | undefined {
  if (runtime === OWN) return process.execPath;
  const folders = [path.join(ROOT, "node_modules/.bin"), ...(process.env.PATH ?? "").split(":")];
  return folders.map((folder) => path.join(folder, runtime)).find(existsSync);
}

const executables: Readonly<Record<Runtime, string | undefined>> = { deno: find("deno"), bun: find("bun") };

/** Why a test of some runtimes is to be skipped; `false` where they are all here. */
export function missing(...runtimes: readonly Runtime[]): string | false {
  const absent = runtimes.find((runtime) => executables[runtime] === undefined);
  return absent === undefined ? false : `there is no ${absent} here`;
}

/** The command line that runs a script under a runtime. */
export function commandOf(runtime: Runtime, script: string): string[] {
  const flags = runtime === "deno" ? ["run", "-A", "--quiet", "--no-prompt", "--no-config", "--no-lock"] : ["run"];
  return [executables[runtime]!, ...flags, script];
}

/** Runs a command with a /dev/shm of its own, of `size` as `mount` takes it, or mounted otherwise. */
export function withShm(options: string): string[] {
  const mount = `mount -t tmpfs -o ${options} tmpfs /dev/shm && exec "$@"`;
  return ["unshare", "-Urm", "sh", "-c", mount, "sh"];
}

/** Runs a command in the namespaces of a process that was started {@linkcode withShm}. */
export function inNamespacesOf({ pid }: Peer): string[] {
  return ["nsenter", "-t", String(pid), "-U", "-m", "--preserve-credentials"];
}

/** Why what a command prefix does cannot be had here; `false` where it can. */
export function refused(prefix: readonly string[]): string | false {
  const { status } = spawnSync(prefix[0]!, [...prefix.slice(1), "true"]);
  return status !== 0 && `${prefix.slice(0, 2).join(" ")} is refused here`;
}

/** How many regions' files a process has open. */
export function openRegions(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).filter((fd) => {
    try {
      return /^\/(dev\/shm\/|memfd:coload-)/.test(readlinkSync(`${folder}/${fd}`));
    } catch {
      return false; // closed meanwhile
    }
  }).length;
}

/** Whether a region's name is in /dev/shm. */
export function isNamed({ region }: { readonly region: string }): boolean {
  return existsSync(`/dev/shm/${region}`);
}

/** How a peer is started. */
export interface PeerOptions {
  /** A command that runs the rest of its command line. */
  readonly through?: readonly string[];
  /** The descriptor that is number 3 in the peer. */
  readonly descriptor?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly watchdogMs?: number;
}

interface Answer {
  readonly value?: unknown;
  readonly error?: { readonly message: string };
}

/** How a process ended. */
export interface End {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A process that ends with its scope. */
export class Peer implements AsyncDisposable {
  /** Its end. */
  readonly ended: Promise<End>;
  readonly #process: ChildProcess;
  readonly #waiting: PromiseWithResolvers<unknown>[] = [];
  #stderr = "";
  #hasEnded = false;

  private constructor(runtime: Runtime, { through = [], descriptor, env, watchdogMs = WATCHDOG_MS }: PeerOptions) {
    const [program, ...args] = [...through, ...commandOf(runtime, SCRIPT)];
    const stdio: StdioOptions = ["pipe", "pipe", "pipe", ...(descriptor === undefined ? [] : [descriptor])];
    const child = this.#process = spawn(program!, args, { stdio, env: { ...process.env, ...env } });
    const watchdog = setTimeout(() => child.kill("SIGKILL"), watchdogMs);
    child.stderr!.on("data", (chunk) => this.#stderr += chunk);
    child.stdin!.on("error", () => {}); // it died: whoever asked hears so below
    createInterface({ input: child.stdout! }).on("line", (line) => {
      const { value, error }: Answer = JSON.parse(line), asked = this.#waiting.shift();
      if (error === undefined) asked?.resolve(value);
      else asked?.reject(Object.assign(new Error(), error));
    });
    this.ended = new Promise((resolve) => {
      child.on("close", (code, signal) => {
        clearTimeout(watchdog);
        this.#hasEnded = true;
        const how = `The peer ended with ${code ?? signal}\n${this.#stderr}`;
        for (const { reject } of this.#waiting.splice(0)) reject(new Error(how));
        resolve({ code, signal });
      });
    });
  }

  /** Starts one, and resolves when it answers. */
  static async start(runtime: Runtime, options: PeerOptions = {}): Promise<Peer> {
    const peer = new Peer(runtime, options);
    await peer.ask("hello");
    return peer;
  }

  /** Its number: of the command that it was started through, unless that became it. */
  get pid(): number {
    return this.#process.pid!;
  }

  /** Has it do something, and resolves with what that returns, or rejects with what it throws. */
  ask<K extends keyof Actions>(
    action: K,
    ...args: Parameters<Actions[K]>
  ): Promise<Awaited<ReturnType<Actions[K]>>> {
    const asked = Promise.withResolvers<unknown>();
    this.#waiting.push(asked);
    this.#process.stdin!.write(JSON.stringify([action, ...args]) + "\n");
    return asked.promise as Promise<Awaited<ReturnType<Actions[K]>>>;
  }

  /** Kills it by SIGKILL, and resolves when it is gone. */
  kill(): Promise<End> {
    if (!this.#hasEnded) process.kill(this.pid, "SIGKILL"); // the child's own kill() ends its input first, on Deno
    return this.ended;
  }

  /** Lets it exit with all it still has. */
  exit(): Promise<End> {
    this.#process.stdin!.end();
    return this.ended;
  }

  /** Lets it dispose of all it has, and exit. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) await this.ask("disposeAll");
    await this.exit();
  }
}
