import type { Socket } from "node:net";
import { Crowd } from "./crowd.ts";
import type { Deadlines } from "./deadlines.ts";

/** Requests of one connection that are not answered yet, at most: more are no client of models. */
const MOST_UNANSWERED = 16;

/** A connection that had a request. */
class Connection {
  readonly unanswered = new Crowd<() => void>();
  readonly #socket: Socket;
  readonly #deadlines: Deadlines;
  readonly #quietMs: number;
  #awaitNothing = (): void => {};

  constructor(socket: Socket, deadlines: Deadlines, quietMs: number) {
    this.#socket = socket;
    this.#deadlines = deadlines;
    this.#quietMs = quietMs;
  }

  /** Waits for another request, which may be on its way: the connection ends if nothing comes. */
  awaitNext(): void {
    const { bytesRead } = this.#socket;
    this.#awaitNothing = this.#deadlines.after(this.#quietMs, () => {
      this.#awaitNothing();
      if (this.#socket.bytesRead === bytesRead) this.#socket.destroy();
      else this.awaitNext();
    });
  }

  awaitNothing(): void {
    this.#awaitNothing();
  }
}

/** The connections: which of them have requests that are not answered yet, and which say nothing any more. */
export class Connections {
  readonly #open = new Map<Socket, Connection>();
  readonly #deadlines: Deadlines;
  readonly #quietMs: number;

  /** @param quietMs for how long a connection is kept that says nothing after a request, in ms */
  constructor(deadlines: Deadlines, quietMs: number) {
    this.#deadlines = deadlines;
    this.#quietMs = quietMs;
  }

  /**
   * Notes a request, until the returned function is called. A response that waits behind another one is told by nobody
   * that its connection has ended.
   *
   * @param gone called if the connection ends before
   * @returns `undefined` where the connection has too many, and is ended
   */
  begin(socket: Socket, gone: () => void): (() => void) | undefined {
    const connection = this.#of(socket), { unanswered } = connection;
    if (unanswered.size >= MOST_UNANSWERED) {
      socket.destroy();
      return undefined;
    }
    connection.awaitNothing();
    const answered = unanswered.add(gone);
    return () => {
      answered();
      if (unanswered.size === 0 && !socket.destroyed) connection.awaitNext();
    };
  }

  #of(socket: Socket): Connection {
    const found = this.#open.get(socket);
    if (found !== undefined) return found;
    const connection = new Connection(socket, this.#deadlines, this.#quietMs);
    this.#open.set(socket, connection);
    socket.once("close", () => {
      this.#open.delete(socket);
      connection.awaitNothing();
      connection.unanswered.forEach((gone) => gone());
    });
    return connection;
  }
}
