import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { SystemFailure } from "../../ffi/system_failure.ts";
import { blockUntil, connectTo, receiveWithDescriptors, sendNow } from "../../ffi/unix_socket.ts";
import { WorkerError } from "../errors.ts";
import { decodeJson, encodeFrame, encodeJson, FRAME, type Frame, FrameReader, violation } from "../protocol/frames.ts";
import { checkWelcome, HELLO_MS, makeHello } from "../protocol/hello.ts";
import { diedError } from "../protocol/peer_stream.ts";
import { remoteError } from "../protocol/remote_error.ts";
import { checkOwner, greetingFailure } from "./worker_socket.ts";

/** How long the thread blocks at a time, in ms, and how much it reads at a time. */
const BLOCK_MS = 100, PIECE_BYTES = 1 << 16;

/** A connection by which this thread waits for answers, where no memory is shared: one request at a time. */
export class BlockingConnection implements Disposable {
  readonly #descriptor: OwnedDescriptor;
  readonly #reader = new FrameReader();
  readonly #frames: Frame[] = [];
  #lastId = 0;

  private constructor(descriptor: OwnedDescriptor) {
    this.#descriptor = descriptor;
  }

  /** @throws {WorkerError} WORKER_UNAVAILABLE where none answers, or it is of another user; WORKER_PROTOCOL; WORKER_TIMEOUT */
  static open(socket: string, name: string, timeoutMs: number): BlockingConnection {
    let connection: BlockingConnection | undefined;
    try {
      connection = new BlockingConnection(new OwnedDescriptor(connectTo(socket)));
      checkOwner(connection.#descriptor.fd, socket);
      const hello = encodeJson(FRAME.hello, 0, makeHello(false, name));
      const { type, body } = connection.#exchange(hello, Math.min(timeoutMs, HELLO_MS));
      if (type !== FRAME.welcome) throw violation("a welcome wanted as the first frame");
      checkWelcome(decodeJson(body));
      return connection;
    } catch (error) {
      connection?.[Symbol.dispose]();
      throw greetingFailure(socket, error);
    }
  }

  /** Runs a model whose tensors go as bytes. @throws what the worker answers; WORKER_DIED, WORKER_TIMEOUT end the connection */
  infer(body: Uint8Array, timeoutMs: number): Uint8Array<ArrayBuffer> {
    const id = ++this.#lastId, answer = this.#exchange(encodeFrame(FRAME.infer, id, body), timeoutMs);
    if (answer.type !== FRAME.outputs || answer.id !== id) throw violation("an answer to something else");
    return answer.body;
  }

  #exchange(request: Uint8Array<ArrayBuffer>, timeoutMs: number): Frame {
    const deadline = performance.now() + timeoutMs, { fd } = this.#descriptor;
    try {
      for (let at = 0; at < request.length;) {
        const sent = sendNow(fd, request.subarray(at));
        if (sent === 0) this.#block("writable", deadline, timeoutMs);
        at += sent;
      }
      while (this.#frames.length === 0) {
        const received = receiveWithDescriptors(fd, PIECE_BYTES);
        if (received === undefined) this.#block("readable", deadline, timeoutMs);
        else if (received.bytes.length === 0) throw diedError();
        else this.#reader.push(received.bytes, (frame) => this.#frames.push(frame));
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error instanceof SystemFailure ? diedError({ cause: error }) : error;
    }
    const frame = this.#frames.shift()!;
    if (frame.type === FRAME.error) throw remoteError(decodeJson(frame.body));
    return frame;
  }

  #block(what: "readable" | "writable", deadline: number, timeoutMs: number): void {
    const rest = deadline - performance.now();
    if (rest <= 0) throw new WorkerError("WORKER_TIMEOUT", `No answer within ${timeoutMs} ms`);
    blockUntil(this.#descriptor.fd, what, Math.min(BLOCK_MS, rest));
  }

  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]();
  }
}
