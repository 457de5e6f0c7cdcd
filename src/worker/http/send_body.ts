import type { ServerResponse } from "node:http";
import { joined } from "./call.ts";
import type { Deadlines } from "./deadlines.ts";

/** A piece of an answer, in bytes, and for how long its caller may take to read it, in ms. */
const PIECE = 1 << 18, PIECE_MS = 30_000;
/** An answer of so many bytes goes in one packet, or few. */
const SMALL = 1 << 16;

/** Sends the body of an answer, and ends it. A caller that does not read it is let go. */
export async function sendBody(
  response: ServerResponse,
  parts: readonly Uint8Array[],
  gone: AbortSignal,
  deadlines: Deadlines,
): Promise<void> {
  const event = (name: "drain" | "finish"): Promise<void> => awaitEvent(response, name, gone, deadlines);
  const byteLength = parts.reduce((sum, { length }) => sum + length, 0);
  if (byteLength > SMALL) {
    for (const part of parts) {
      for (let at = 0; at < part.length && !gone.aborted; at += PIECE) {
        if (!response.write(part.subarray(at, at + PIECE))) await event("drain");
      }
    }
  }
  const ended = event("finish");
  if (byteLength > SMALL || byteLength === 0) response.end();
  else response.end(joined(parts));
  await ended;
}

/** Resolves when a response says so, or its caller is gone: one that takes too long is made to be. */
function awaitEvent(
  response: ServerResponse,
  name: "drain" | "finish",
  gone: AbortSignal,
  deadlines: Deadlines,
): Promise<void> {
  return new Promise((resolve) => {
    if (gone.aborted) return resolve();
    const inTime = deadlines.after(PIECE_MS, () => response.destroy());
    const done = (): void => {
      inTime();
      response.off(name, done);
      gone.removeEventListener("abort", done);
      resolve();
    };
    response.once(name, done);
    gone.addEventListener("abort", done);
  });
}
