import type { Socket } from "node:net";
import { Crowd } from "./crowd.ts";
import type { Deadlines } from "./deadlines.ts";

/** Requests of one connection that are not answered yet, at most: more are no client of models. */
const MOST_UNANSWERED = 16;

/** A connection that had a request. */
interface Connection {
  readonly unanswered: Crowd<() => void>;
  /** Calls off its end: it says something. */
  stays: () => void;
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
    connection.stays();
    const answered = unanswered.add(gone);
    return () => {
      answered();
      if (unanswered.size > 0 || socket.destroyed) return;
      connection.stays = this.#deadlines.after(this.#quietMs, () => socket.destroy());
    };
  }

  #of(socket: Socket): Connection {
    const found = this.#open.get(socket);
    if (found !== undefined) return found;
    const connection: Connection = { unanswered: new Crowd(), stays() {} };
    this.#open.set(socket, connection);
    socket.once("close", () => {
      this.#open.delete(socket);
      connection.stays();
      connection.unanswered.forEach((gone) => gone());
    });
    return connection;
  }
}
