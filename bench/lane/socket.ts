/**
 * The floor of an asynchronous call: a message over a unix socket and its answer, both ends on their event loops, by
 * `node:net` and by the runtime's own sockets.
 */
import { connect, createServer } from "node:net";
import { ffi, type Stream } from "../../ffi/mod.ts";
import { acceptWaiting, connectTo, listenAt, untilReadable } from "../../ffi/unix_socket.ts";

const BYTES = 64, PATIENCE_MS = 10_000;

/** The ways to hold a socket. */
export const SOCKETS = ["node:net", "the runtime's own"] as const;
/** One of them. */
export type SocketKind = typeof SOCKETS[number];

/** Calls back for each whole message. */
function messages(onMessage: () => void): (bytes: Uint8Array) => void {
  let received = 0;
  return ({ length }) => {
    received += length;
    if (received < BYTES) return;
    received -= BYTES;
    onMessage();
  };
}

async function openStream(fd: number, onMessage: (stream: Stream) => void): Promise<Stream> {
  const stream = await ffi.stream(fd, { bytes: messages(() => onMessage(stream)), drained() {}, closed() {} });
  stream.ref();
  return stream;
}

/** Listens at a path and answers each message of one client. */
export async function answerMessages(kind: SocketKind, path: string): Promise<void> {
  const message = new Uint8Array(BYTES);
  if (kind === "node:net") {
    const server = createServer((socket) => socket.on("data", messages(() => socket.write(message))));
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve));
    return;
  }
  const listening = listenAt(path);
  void untilReadable(listening, PATIENCE_MS).then(async (isThere) => {
    if (!isThere) throw new Error("nobody connects");
    await openStream(acceptWaiting(listening)!, (stream) => stream.write(message));
  });
}

/** The end that calls. */
export class SocketCaller implements Disposable {
  readonly #write: () => unknown;
  readonly #close: () => void;
  #answered: (() => void) | undefined;

  private constructor(write: () => unknown, close: () => void) {
    this.#write = write;
    this.#close = close;
  }

  /** Connects to what {@linkcode answerMessages} listens at. */
  static async open(kind: SocketKind, path: string): Promise<SocketCaller> {
    const message = new Uint8Array(BYTES), onMessage = (): void => caller.#answered?.();
    let caller: SocketCaller;
    if (kind === "node:net") {
      const socket = connect(path);
      caller = new SocketCaller(() => socket.write(message), () => socket.destroy());
      socket.on("data", messages(onMessage));
      await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    } else {
      const stream = await openStream(connectTo(path), onMessage);
      caller = new SocketCaller(() => stream.write(message), () => stream.close());
    }
    return caller;
  }

  /** One message and its answer. */
  call(): Promise<void> {
    return new Promise((resolve) => {
      this.#answered = resolve;
      this.#write();
    });
  }

  [Symbol.dispose](): void {
    this.#close();
  }
}
