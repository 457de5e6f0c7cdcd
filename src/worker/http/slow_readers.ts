import type { ServerResponse } from "node:http";
import { clearInterval, setInterval } from "node:timers";

/** A caller that has read nothing of its answer for so long, in ms, is let go. */
const STALLED_MS = 30_000;
/** An answer of so many bytes is the system's at once, whether its caller reads or not. */
export const SMALL: number = 1 << 16;

/** Resolves when an answer is sent, or its caller is gone: one that reads nothing is made to be. */
export function watchReader(response: ServerResponse, byteLength: number): Promise<void> {
  return new Promise((resolve) => {
    response.once("close", resolve);
    response.once("finish", resolve);
    if (byteLength <= SMALL) return;
    let sent = -1;
    const look = (): void => {
      const { bytesWritten = 0, writableLength = 0 } = response.socket ?? {}, gone = bytesWritten - writableLength;
      if (gone === sent) response.destroy();
      sent = gone;
    };
    const timer = setInterval(look, STALLED_MS).unref();
    response.once("close", () => clearInterval(timer));
    response.once("finish", () => clearInterval(timer));
  });
}
