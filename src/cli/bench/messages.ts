import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Load } from "./load.ts";
import type { RequestOptions } from "./local_source.ts";
import type { EncodedRecording } from "./recording.ts";
import type { Seen } from "./source.ts";
import type { Target } from "../open_model.ts";

/** What a client process is told, in a line of JSON each. It ends when its input does. */
export type Command =
  | { readonly open: Target; readonly options: RequestOptions }
  /** `tell`: whether to say now and then what is seen of it. */
  | { readonly send: Load; readonly tell: boolean }
  /** Ends what is being done. */
  | { readonly stop: true };

/** What a client process says, in a line of JSON each: to a command one answer, and before it what is seen. */
export type Answer =
  | { readonly opened: true }
  | { readonly recording: EncodedRecording }
  | { readonly error: { readonly code?: string; readonly message: string } }
  | { readonly seen: Seen };

export function toLine(message: Command | Answer): string {
  return `${JSON.stringify(message)}\n`;
}

/** Calls back for each message that comes in, and once when no more will. */
export function readMessages<M>(input: Readable, onMessage: (message: M) => void, onEnd?: () => void): void {
  const lines = createInterface({ input });
  lines.on("line", (line) => onMessage(JSON.parse(line) as M));
  if (onEnd !== undefined) lines.on("close", onEnd);
}
