import type { IncomingMessage } from "node:http";
import zlib from "node:zlib";
import { OipError } from "../../protocol/oip/oip_error.ts";
import { joined } from "./call.ts";
import { Crowd } from "./crowd.ts";

const UNPACK: Readonly<Record<string, () => zlib.Gunzip | zlib.Inflate>> = {
  __proto__: null as never,
  gzip: () => zlib.createGunzip(),
  deflate: () => zlib.createInflate(),
};

/** What all requests take that are not answered yet: their bodies, and what is made of them. */
export class Bodies {
  readonly #most: number;
  #held = 0;
  /** Those that are being read: how to give each up. */
  readonly #reading = new Crowd<(reason: OipError) => void>();
  #isClosed = false;

  constructor(most: number) {
    this.#most = most;
  }

  /** Takes up more bytes. @throws {OipError} 503 where there is no more */
  take(bytes: number): void {
    if (this.#held + bytes > this.#most) {
      throw new OipError(
        503,
        `The server has ${this.#held} bytes of requests and answers in flight, and takes no more for now`,
      );
    }
    this.#held += bytes;
  }

  /** Takes up bytes that are there already. */
  note(bytes: number): void {
    this.#held += bytes;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }

  /** Notes that one begins to be read, until the returned function is called. @throws {OipError} 503 after the end */
  read(giveUp: (reason: OipError) => void): () => void {
    if (this.#isClosed) throw drainingError();
    return this.#reading.add(giveUp);
  }

  /** Gives up those that are being read, and reads no more. */
  close(): void {
    this.#isClosed = true;
    this.#reading.forEach((giveUp) => giveUp(drainingError()));
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
    return await this.#unpack(encoding, unpack(), packed);
  }

  /** Unpacks piece by piece: a few bytes may be of many. */
  async #unpack(
    encoding: string,
    stream: zlib.Gunzip | zlib.Inflate,
    packed: Uint8Array,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    stream.end(packed);
    try {
      for await (const chunk of stream as AsyncIterable<Uint8Array>) {
        length += chunk.length;
        if (length > this.#most) throw this.#tooLarge();
        this.hold(chunk.length);
        chunks.push(chunk);
      }
      return joined(chunks);
    } catch (cause) {
      if (cause instanceof OipError) throw cause;
      throw new OipError(400, `The body is not ${encoding}: ${(cause as Error).message}`, { cause });
    } finally {
      stream.destroy();
    }
  }

  /** Reads it to its end. Nothing of it hangs on the request afterwards, which the server may keep for long. */
  #receive(): Promise<Uint8Array<ArrayBuffer>> {
    const request = this.#request, chunks: Uint8Array[] = [];
    return new Promise((resolve, reject) => {
      let length = 0;
      const take = (chunk: Uint8Array): void => {
        length += chunk.length;
        try {
          if (length > this.#most) throw this.#tooLarge();
          this.hold(chunk.length);
          chunks.push(chunk);
        } catch (error) {
          fail(error);
        }
      };
      const end = (): void => {
        done();
        this.#isRead = true;
        resolve(joined(chunks));
      };
      const fail = (error: unknown): void => {
        done();
        request.resume();
        reject(error);
      };
      const broken = (cause?: unknown): void => fail(new OipError(400, "The body ended before its time", { cause }));
      const isRead = this.#bodies.read(fail);
      const done = (): void => {
        isRead();
        request.off("data", take).off("end", end).off("error", broken).off("close", broken);
      };
      request.on("data", take).on("end", end).on("error", broken).on("close", broken);
    });
  }

  /** Notes that the request takes so many more bytes. @throws {OipError} 503 where there are no more */
  hold(bytes: number): void {
    this.#bodies.take(bytes);
    this.#held += bytes;
  }

  /** Notes that its answer takes so many: for that nobody is refused who ran, but who comes next. */
  holdAnswer(bytes: number): void {
    this.#bodies.note(bytes);
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
