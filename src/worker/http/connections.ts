import type { Socket } from "node:net";

/** Requests of one connection that are not answered yet, at most: more are no client of models. */
const MOST_UNANSWERED = 16;

/** The connections that have requests which are not answered yet. */
export class Connections {
  readonly #gone = new Map<Socket, Set<() => void>>();

  /**
   * Notes a request, until the returned function is called. A response that waits behind another one is told by nobody
   * that its connection has ended.
   *
   * @param gone called if the connection ends before
   * @returns `undefined` where the connection has too many, and is ended
   */
  begin(socket: Socket, gone: () => void): (() => void) | undefined {
    const waiting = this.#of(socket);
    if (waiting.size >= MOST_UNANSWERED) {
      socket.destroy();
      return undefined;
    }
    waiting.add(gone);
    return () => waiting.delete(gone);
  }

  #of(socket: Socket): Set<() => void> {
    const found = this.#gone.get(socket);
    if (found !== undefined) return found;
    const waiting = new Set<() => void>();
    this.#gone.set(socket, waiting);
    socket.once("close", () => {
      this.#gone.delete(socket);
      for (const gone of waiting) gone();
    });
    return waiting;
  }
}
