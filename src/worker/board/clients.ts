import { MOST_CLIENTS, SLOTS } from "../../protocol/lane_layout.ts";
import { CLIENT_WORDS, CLIENTS_AT, HEAD, TAKEN_AT } from "./layout.ts";

/** Positions in a client's entry. */
const CLIENT = { state: 0, generation: 1, lane: 2, /* two words */ bell: 4, pid: 5 } as const;
/** Values of a client's state. */
const FREE = 0, ALIVE = 1, GONE = 2;

/** A client, as executors have to know it. */
export interface BoardClient {
  /** Where its lane starts. */
  readonly address: bigint;
  /** Which of the clients that had this place it is. */
  readonly generation: number;
  /** The descriptor of its doorbell socket. */
  readonly bell: number;
  /** Its process; 0 where that is not known. */
  readonly pid: number;
}

/** Which clients there are. What changes does so under the board's lock: whoever holds that sees it. */
export class BoardClients {
  readonly #u32: Uint32Array;

  constructor(u32: Uint32Array) {
    this.#u32 = u32;
  }

  /** Puts a client in a free place, and returns that; `undefined` when there are too many. For who works alone. */
  add({ address, bell, pid }: Omit<BoardClient, "generation">): number | undefined {
    const u32 = this.#u32;
    for (let client = 0; client < MOST_CLIENTS; client++) {
      const at = this.#at(client);
      if (u32[at + CLIENT.state] !== FREE) continue;
      u32[at + CLIENT.lane] = Number(address & 0xffffffffn);
      u32[at + CLIENT.lane + 1] = Number(address >> 32n);
      u32[at + CLIENT.generation]!++;
      u32[at + CLIENT.bell] = bell;
      u32[at + CLIENT.pid] = pid;
      Atomics.store(u32, at + CLIENT.state, ALIVE);
      const words = (client >> 5) + 1;
      if (words > this.words) Atomics.store(u32, HEAD.clientWords, words);
      return client;
    }
    return undefined;
  }

  /** Notes that a client is gone. Its place and its lane stay until {@linkcode BoardClients.free}. */
  remove(client: number): void {
    Atomics.store(this.#u32, this.#at(client) + CLIENT.state, GONE);
  }

  /** Gives a client's place to others. No executor may use its lane any more. */
  free(client: number): void {
    this.#u32.fill(0, TAKEN_AT + client * SLOTS, TAKEN_AT + (client + 1) * SLOTS);
    Atomics.store(this.#u32, this.#at(client) + CLIENT.state, FREE);
  }

  /** Words of 32 bits that have a bit for every client there ever was at once. */
  get words(): number {
    return this.#u32[HEAD.clientWords]!;
  }

  /** Whether it is there, and not gone. */
  isAlive(client: number): boolean {
    return this.#u32[this.#at(client) + CLIENT.state] === ALIVE;
  }

  /** Which of the clients that had this place it is. */
  generationOf(client: number): number {
    return this.#u32[this.#at(client) + CLIENT.generation]!;
  }

  /** What an executor has to know of it. */
  of(client: number): BoardClient {
    const at = this.#at(client), u32 = this.#u32;
    return {
      address: BigInt(u32[at + CLIENT.lane + 1]!) << 32n | BigInt(u32[at + CLIENT.lane]!),
      generation: u32[at + CLIENT.generation]!,
      bell: u32[at + CLIENT.bell]!,
      pid: u32[at + CLIENT.pid]!,
    };
  }

  #at(client: number): number {
    return CLIENTS_AT + client * CLIENT_WORDS;
  }
}
