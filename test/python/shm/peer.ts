import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("./peer.py", import.meta.url));
/** Where coload_shm.py lies. */
const FOLDER = fileURLToPath(new URL("../../../src/python", import.meta.url));
/** Long beyond what any peer needs. */
const WATCHDOG_MS = 60_000;

/** A process of Python that does what it is told, and knows coload_shm as `shm`. */
export class Peer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #closed: Promise<unknown>;
  readonly #watchdog: ReturnType<typeof setTimeout>;

  constructor(python: string) {
    this.#child = spawn(python, [SCRIPT, FOLDER], { stdio: ["pipe", "pipe", "inherit"] });
    this.#closed = once(this.#child, "close");
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
    this.#watchdog = setTimeout(() => this.#child.kill("SIGKILL"), WATCHDOG_MS);
  }

  /** The value of the last expression, or what was raised. */
  async ask(code: string): Promise<unknown> {
    this.#child.stdin!.write(`${JSON.stringify(code)}\n`);
    const { done, value } = await this.#lines.next();
    assert.ok(!done, "the peer ended without an answer");
    const { value: said, raises, says } = JSON.parse(value);
    return raises === undefined ? said : `${raises}: ${says}`;
  }

  /** Has it let go of all that has a name. */
  async forget(): Promise<void> {
    this.#child.stdin!.write("null\n");
    await this.#lines.next();
  }

  async kill(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child; // whose own kill() ends its input first, on Deno
    if (exitCode === null && signalCode === null) process.kill(pid!, "SIGKILL");
    await this.#closed;
  }

  /** Lets it end, and waits for that. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin!.end();
    await this.#closed;
    clearTimeout(this.#watchdog);
  }
}

/** An expression of Python's for a value of JSON. */
export function literal(value: unknown): string {
  return `json.loads(${JSON.stringify(JSON.stringify(value))})`;
}
