/** One message at a time over a unix socket: a line of a word and a length, so many bytes, and a line in answer. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** What a message's bytes come to: what both ends know of the data. */
export type Ends = readonly [first: number, last: number];

/** What can be done with a message's bytes, by its word. */
export type Receivers = Readonly<Record<string, (bytes: Uint8Array<ArrayBuffer>) => Ends>>;

const NEWLINE = 10;
/** What is written at once: all of it in one write takes Bun 30 times as long. */
const PIECE = 256 << 10;

const encoder = new TextEncoder();

/** Answers what comes to a socket, each message by the receiver of its word. Bytes lie in memory that is used again. */
export function listen(path: string, mostBytes: number, receivers: Receivers): Promise<AddressInfo | string | null> {
  const memory = new Uint8Array(mostBytes).fill(1);
  const server = createServer((socket) => {
    let word = "", wanted = -1, got = 0;
    socket.on("data", (chunk: Uint8Array) => {
      let rest = chunk;
      if (wanted < 0) { // a line is so short that it comes in one piece, and no message before the answer to the last
        const end = chunk.indexOf(NEWLINE), line = new TextDecoder().decode(chunk.subarray(0, end)).split(" ");
        word = line[0]!;
        wanted = Number(line[1]);
        rest = chunk.subarray(end + 1);
      }
      memory.set(rest, got);
      got += rest.length;
      if (got < wanted) return;
      const ends = receivers[word]!(memory.subarray(0, wanted));
      wanted = -1;
      got = 0;
      socket.write(`${ends[0]} ${ends[1]}\n`);
    });
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => resolve(server.address()));
  });
}

/** The end that sends. */
export class Link implements Disposable {
  readonly #socket: Socket;
  #answer: PromiseWithResolvers<Ends> | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      const [first, last] = new TextDecoder().decode(chunk).split(" ").map(Number);
      this.#answer!.resolve([first!, last!]);
    });
    socket.on("close", () => this.#answer?.reject(new Error("the receiver hung up")));
  }

  /** Connects to what listens at a path. */
  static open(path: string): Promise<Link> {
    return new Promise((resolve, reject) => {
      const socket = connect(path, () => resolve(new Link(socket)));
      socket.once("error", reject);
    });
  }

  /** Sends a message, and resolves with the answer. */
  async send(word: string, bytes: string | Uint8Array): Promise<Ends> {
    const answer = this.#answer = Promise.withResolvers<Ends>();
    if (typeof bytes === "string" && bytes.length < PIECE) {
      this.#socket.write(`${word} ${bytes.length}\n${bytes}`); // of ASCII
      return answer.promise;
    }
    this.#socket.write(`${word} ${bytes.length}\n`);
    const all = typeof bytes === "string" ? encoder.encode(bytes) : bytes;
    for (let at = 0; at < all.length; at += PIECE) {
      if (this.#socket.write(all.subarray(at, at + PIECE))) continue;
      await new Promise<void>((resolve) => this.#socket.once("drain", resolve));
    }
    return answer.promise;
  }

  [Symbol.dispose](): void {
    this.#answer = undefined;
    this.#socket.destroy();
  }
}
