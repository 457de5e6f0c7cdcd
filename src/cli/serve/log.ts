import process from "node:process";
import picocolors from "picocolors";
import { formatMs } from "../bench/units.ts";
import type { ModelChange, Ready } from "./messages.ts";

/** What happens to a worker, as `coload serve` tells it. */
export type ServeEvent =
  | { readonly event: "starting"; readonly pid: number | undefined; readonly models: readonly string[] }
  | { readonly event: "ready"; readonly pid: number | undefined } & Ready
  | { readonly event: "present"; readonly pid: number; readonly message: string }
  | { readonly event: "waiting"; readonly socket: string }
  | { readonly event: "failed"; readonly code?: string; readonly message: string }
  | {
    readonly event: "died";
    readonly pid: number | undefined;
    readonly signal: string | null;
    readonly exitCode: number | null;
  }
  | { readonly event: "restarting"; readonly delayMs: number }
  | { readonly event: "draining"; readonly signal?: string }
  | { readonly event: "reloading" }
  | { readonly event: "reloaded"; readonly model: string }
  | { readonly event: "unchanged" }
  | { readonly event: "refused" } & Required<ModelChange>
  | { readonly event: "output"; readonly text: string }
  | { readonly event: "stopped" };

/** Says what happens. */
export type Say = (event: ServeEvent) => void;

function describe(event: ServeEvent): string {
  switch (event.event) {
    case "starting":
      return `starting: ${event.models.join(", ")} (pid ${event.pid})`;
    case "ready":
      return `ready in ${formatMs(event.elapsedMs)}: ${event.models.join(", ")} at ${event.socket}${
        event.http === undefined ? "" : ` and ${event.http}`
      }`;
    case "present":
      return event.message;
    case "waiting":
      return `waiting: a worker that does not answer, or is ending, has ${event.socket}`;
    case "failed":
      return `failed: ${event.message}`;
    case "died":
      return `died: ${event.signal ?? `exit code ${event.exitCode}`} (pid ${event.pid})`;
    case "restarting":
      return `restarting in ${event.delayMs} ms`;
    case "draining":
      return `draining${event.signal === undefined ? "" : `: ${event.signal}`}`;
    case "reloaded":
      return `reloaded: ${event.model}`;
    case "unchanged":
      return "reloaded: no model was changed";
    case "refused":
      return `not reloaded: ${event.model}, what was there serves on: ${event.problem}`;
    case "output":
      return event.text;
    default:
      return event.event;
  }
}

const TROUBLE: readonly ServeEvent["event"][] = ["died", "failed", "refused"];

/** A line on stderr for each event: for people, or in JSON for programs. */
export function serveLog({ json }: { readonly json: boolean }): Say {
  const colors = picocolors.createColors(process.stderr.isTTY === true && !process.env.NO_COLOR);
  const write = (line: string): void => void process.stderr.write(`${line}\n`); // Bun's console.error is red
  process.stderr.on("error", () => {}); // nobody reads it any more: no reason to end
  return (event) => {
    const time = new Date().toISOString();
    if (json) return write(JSON.stringify({ time, ...event }));
    const text = describe(event);
    write(`${colors.dim(time)} ${TROUBLE.includes(event.event) ? colors.red(text) : text}`);
  };
}
