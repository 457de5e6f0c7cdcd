/** The peer, onnxruntime-node, one process for each: what it takes to load and to hold a model. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { atEnd } from "../support/ending.ts";
import { nodeVersion } from "../support/peer.ts";

/** A Node with onnxruntime-node, which ends with its scope. */
export class NodePeer implements Disposable {
  readonly #child: ChildProcess;
  readonly #waiting: PromiseWithResolvers<unknown>[] = [];
  readonly #forget: () => void;

  constructor() {
    const env = { ...process.env, ORT_DISABLE_TELEMETRY: "1" };
    const script = fileURLToPath(new URL("./peer.mjs", import.meta.url));
    const child = this.#child = spawn("node", [script], { stdio: ["pipe", "pipe", "inherit"], env });
    this.#forget = atEnd(() => child.kill("SIGKILL"));
    createInterface({ input: child.stdout! }).on("line", (line) => {
      this.#waiting.shift()?.resolve(JSON.parse(line).value);
    });
    child.on("close", () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error("the peer ended"));
    });
  }

  /** Whether there is a Node. */
  static isThere(): boolean {
    return nodeVersion() !== undefined;
  }

  /** Has it do something, and resolves with what that returns. */
  ask<T>(action: string, ...args: unknown[]): Promise<T> {
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.push(waiting);
    this.#child.stdin!.write(JSON.stringify([action, ...args]) + "\n");
    return waiting.promise as Promise<T>;
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
    this.#forget();
  }
}
