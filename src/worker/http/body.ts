import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { OipError } from "../../protocol/oip/oip_error.ts";
import { joined } from "./call.ts";

type Unpack = (packed: Uint8Array, options: { maxOutputLength: number }) => Promise<Uint8Array<ArrayBuffer>>;

const UNPACK: Readonly<Record<string, Unpack>> = {
  __proto__: null as never,
  gzip: promisify(zlib.gunzip) as Unpack,
  deflate: promisify(zlib.inflate) as Unpack,
};

/** The bodies of all requests that are not answered yet. */
export class Bodies {
  readonly #most: number;
  #held = 0;
  /** Those that are being read: how to give each up. */
  readonly #reading = new Set<(reason: OipError) => void>();
  #isClosed = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** Takes up more bytes. @throws {OipError} 503 where there is no more */
  take(bytes: number): void {
    if (this.#held + bytes > this.#most) {
      throw new OipError(503, `The server has ${this.#held} bytes of requests in flight, and takes no more for now`);
    }
    this.#held += bytes;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }

  /** Notes that one begins to be read, until the returned function is called. @throws {OipError} 503 after the end */
  read(giveUp: (reason: OipError) => void): () => void {
    if (this.#isClosed) throw drainingError();
    this.#reading.add(giveUp);
    return () => this.#reading.delete(giveUp);
  }

  /** Gives up those that are being read, and reads no more. */
  close(): void {
    this.#isClosed = true;
    for (const giveUp of this.#reading) giveUp(drainingError());
  }
}

const drainingError = (): OipError => new OipError(503, "The server is draining, and takes no more requests");

/** A request's body, and what it takes of the budget until it is released. */
export class Body implements Disposable {
  readonly #request: IncomingMessage;
  readonly #most: number;
  readonly #bodies: Bodies;
  #held = 0;
  #isRead = false;

  constructor(request: IncomingMessage, most: number, bodies: Bodies) {
    this.#request = request;
    this.#most = most;
    this.#bodies = bodies;
  }

  /** Whether there is one that was not read to its end. */
  get isLeft(): boolean {
    const { "content-length": length = "0", "transfer-encoding": encoding } = this.#request.headers;
    return !this.#isRead && (encoding !== undefined || length !== "0");
  }

  /** All of it, unpacked. @throws {OipError} 400, 413, 415, 503 */
  async read(): Promise<Uint8Array<ArrayBuffer>> {
    const { headers } = this.#request, encoding = headers["content-encoding"]?.trim().toLowerCase() ?? "identity";
    const unpack = UNPACK[encoding];
    if (unpack === undefined && encoding !== "identity") {
      throw new OipError(415, `Cannot unpack a body of ${encoding}: gzip and deflate are known`);
    }
    if (Number(headers["content-length"]) > this.#most) throw this.#tooLarge();
    const packed = await this.#receive();
    if (unpack === undefined) return packed;
    try {
      const unpacked = await unpack(packed, { maxOutputLength: this.#most });
      this.#hold(unpacked.length);
      return unpacked;
    } catch (cause) {
      if (cause instanceof OipError) throw cause;
      if ((cause as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") throw this.#tooLarge();
      throw new OipError(400, `The body is not ${encoding}: ${(cause as Error).message}`, { cause });
    }
  }

  #receive(): Promise<Uint8Array<ArrayBuffer>> {
    const request = this.#request, chunks: Uint8Array[] = [];
    return new Promise((resolve, reject) => {
      let length = 0;
      const fail = (error: unknown): void => {
        done();
        request.off("data", take);
        request.resume();
        reject(error);
      };
      const done = this.#bodies.read(fail);
      const take = (chunk: Uint8Array): void => {
        length += chunk.length;
        try {
          if (length > this.#most) throw this.#tooLarge();
          this.#hold(chunk.length);
          chunks.push(chunk);
        } catch (error) {
          fail(error);
        }
      };
      request.on("data", take);
      request.once("end", () => {
        done();
        this.#isRead = true;
        resolve(joined(chunks));
      });
      request.once("error", (cause) => fail(new OipError(400, "The body ended before its time", { cause })));
      request.once("close", () => fail(new OipError(400, "The body ended before its time")));
    });
  }

  #hold(bytes: number): void {
    this.#bodies.take(bytes);
    this.#held += bytes;
  }

  #tooLarge(): OipError {
    return new OipError(413, `The body may have ${this.#most} bytes at most`);
  }

  [Symbol.dispose](): void {
    this.#bodies.give(this.#held);
    this.#held = 0;
  }
}
