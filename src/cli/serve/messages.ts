import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { WorkerOptions } from "../../worker/worker_options.ts";

/** What the process of a worker is told, in a line of JSON each. It ends when its input does. */
export type ToWorker =
  /** The first. `showsProgress`: whether a person watches it load. */
  | { readonly serve: WorkerOptions; readonly showsProgress: boolean }
  | { readonly reload: true }
  | { readonly drain: true };

/** A model that was loaded after the worker was ready, or could not be: then what was there before it serves on. */
export interface ModelChange {
  readonly model: string;
  readonly problem?: string;
}

/** A worker that serves. */
export interface Ready {
  readonly models: readonly string[];
  readonly socket: string;
  /** Where it answers HTTP. */
  readonly http?: string;
  readonly elapsedMs: number;
}

/** What the process of a worker says, in a line of JSON each. */
export type FromWorker =
  | { readonly ready: Ready }
  /** It cannot serve, and ends. */
  | { readonly failed: { readonly code?: string; readonly message: string } }
  | { readonly changed: ModelChange }
  /** No file was changed. */
  | { readonly unchanged: true }
  /** A signal told it to end. */
  | { readonly draining: true };

export function toLine(message: ToWorker | FromWorker): string {
  return `${JSON.stringify(message)}\n`;
}

/** Calls back for each message that comes in, and for lines that are none. */
export function readMessages<M>(
  input: Readable,
  { onMessage, onOther, onEnd }: {
    onMessage(message: M): void;
    onOther?(line: string): void;
    onEnd?(): void;
  },
): void {
  const lines = createInterface({ input });
  lines.on("line", (line) => {
    const message = parse(line);
    if (message === undefined) onOther?.(line);
    else onMessage(message as M);
  });
  if (onEnd !== undefined) lines.on("close", onEnd);
}

function parse(line: string): object | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
