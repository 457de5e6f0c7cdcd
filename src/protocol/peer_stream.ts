import { clearTimeout, setTimeout } from "node:timers";
import { ffi, type Stream } from "../../ffi/mod.ts";
import { WorkerError } from "../errors.ts";
import { type Frame, FrameReader, violation } from "./frames.ts";

/** Bytes that wait to be sent, at most, and for how long the other end may read none of them, in ms. */
const MOST_UNSENT_BYTES = 512 << 20, STALLED_MS = 30_000;

/** What becomes of a {@linkcode PeerStream}. */
export interface PeerEvents {
  /** A frame came. What it throws ends the connection. */
  frame(frame: Frame): void;
  /** The connection is over; called once. @param reason why this end closed it, if it did */
  closed(reason: Error | undefined): void;
}

/** Frames to and from the other end of a socket. */
export class PeerStream {
  readonly #events: PeerEvents;
  readonly #reader = new FrameReader();
  #stream: Stream | undefined;
  #writtenBytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reason: Error | undefined;
  #closed = false;

  private constructor(events: PeerEvents) {
    this.#events = events;
  }

  /** Puts a connected socket on the event loop, and owns it. */
  static async open(fd: number, events: PeerEvents): Promise<PeerStream> {
    const peer = new PeerStream(events);
    peer.#stream = await ffi.stream(fd, {
      bytes: (bytes) => peer.take(bytes),
      drained: () => peer.#drained(),
      closed: () => peer.#ended(),
    });
    return peer;
  }

  /** Takes bytes in that arrived. */
  take(bytes: Uint8Array): void {
    if (this.#closed) return;
    try {
      this.#reader.push(bytes, (frame) => {
        if (!this.#closed) this.#events.frame(frame);
      });
    } catch (error) {
      this.close(error as Error);
    }
  }

  /** Sends a frame's bytes. An end that does not read them is closed. */
  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#closed) return;
    this.#writtenBytes += bytes.length;
    if (this.#stream!.write(bytes)) return;
    const { unsentBytes } = this.#stream!;
    if (unsentBytes > MOST_UNSENT_BYTES) return this.close(violation(`it did not read ${unsentBytes} bytes`));
    this.#timer ??= setTimeout(() => this.#checkProgress(this.#sentBytes), STALLED_MS).unref();
  }

  get #sentBytes(): number {
    return this.#writtenBytes - this.#stream!.unsentBytes;
  }

  #checkProgress(before: number): void {
    const sent = this.#sentBytes;
    if (sent === before) return this.close(violation(`it read nothing for ${STALLED_MS} ms`));
    this.#timer = setTimeout(() => this.#checkProgress(sent), STALLED_MS).unref();
  }

  /** Closes it. Harmless when repeated. */
  close(reason?: Error): void {
    if (this.#closed) return;
    this.#reason = reason;
    this.#ended();
    this.#stream?.close();
  }

  /** Keeps the event loop alive, or lets it end. */
  hold(isBusy: boolean): void {
    if (this.#closed) return;
    if (isBusy) this.#stream!.ref();
    else this.#stream!.unref();
  }

  #drained(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#events.closed(this.#reason);
  }
}

/** What is told of a worker that is gone. */
export function diedError(options?: ErrorOptions): WorkerError {
  return new WorkerError("WORKER_DIED", "The worker died, or closed the connection", options);
}
