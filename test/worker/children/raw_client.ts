/** A client that writes into its lane whatever it likes. */
import process from "node:process";
import { closeDescriptor } from "../../../ffi/descriptors.ts";
import { waitForWord, wakeWord } from "../../../ffi/futex.ts";
import { ffi } from "../../../ffi/mod.ts";
import { SharedMapping } from "../../../ffi/shared_mapping.ts";
import {
  connectTo,
  isHungUp,
  receiveWithDescriptors,
  sendNow,
  sendWithDescriptors,
  untilReadable,
} from "../../../ffi/unix_socket.ts";
import { requestByteLength, type RequestDescription, writeRequest } from "../../../src/protocol/description.ts";
import type { ModelDescription } from "../../../src/protocol/remote_model.ts";
import { decodeJson, encodeJson, FRAME, type Frame, FrameReader } from "../../../src/protocol/frames.ts";
import { checkWelcome, type Hello, type Welcome } from "../../../src/protocol/hello.ts";
import {
  ANSWER,
  HEAP_OFFSET,
  LANE,
  LANE_BYTE_LENGTH,
  PAGE,
  PAGE_BYTE_LENGTH,
  PROTOCOL_VERSION,
  SLOT,
  slotWord,
} from "../../../src/protocol/lane_layout.ts";

/** Words of a slot. */
export type SlotWords = { readonly [K in keyof typeof SLOT]?: number };

/** Bytes of the heap that each slot has here: 2 KiB for the request, then its tensors, 4 KiB for the answer at last. */
export const ROOM: number = 1 << 20;
export const ANSWER_ROOM = 4096;
/** Where a slot's request lies here, in bytes of the lane. */
export const requestOf = (slot: number): number => (slot + 1) * ROOM;
/** Where its answer goes. */
export const answerOf = (slot: number): number => requestOf(slot) + ROOM - ANSWER_ROOM;

/** What a real client says first. */
export const HELLO: Hello = {
  protocol: PROTOCOL_VERSION,
  oldest: PROTOCOL_VERSION,
  sharesMemory: true,
  pid: process.pid,
  runtime: ffi.runtime,
  name: "hostile",
};

/** What became of a request. */
export interface Answer {
  readonly status: number;
  /** Of one that failed. */
  readonly code: string | undefined;
}

const HUNG_MS = 20_000;
const now = (): number => performance.now();

/** Sends bytes whole. Whether the other end took them. */
export async function sendAll(fd: number, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const end = now() + HUNG_MS;
  for (let sent = 0; sent < bytes.length;) {
    if (now() > end) throw new Error("The other end reads nothing");
    try {
      const taken = sendNow(fd, bytes.subarray(sent));
      sent += taken;
      if (taken === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    } catch {
      return false; // it is closed
    }
  }
  return true;
}

/** A connection with a lane, by hand. */
export class RawClient implements Disposable {
  readonly fd: number;
  readonly welcome: Welcome;
  readonly lane: Uint8Array;
  readonly words: Uint32Array;
  readonly page: Int32Array;
  readonly #lane: SharedMapping;
  readonly #page: SharedMapping;
  readonly #fds: readonly number[];
  readonly #reader = new FrameReader();
  readonly #frames: Frame[] = [];
  /** By the number of a model, what it is like now. */
  readonly #revisions: number[] = [];

  private constructor(fd: number, welcome: Welcome, fds: readonly number[]) {
    this.fd = fd;
    this.welcome = welcome;
    this.#fds = fds;
    this.#page = new SharedMapping(fds[0]!, 0, PAGE_BYTE_LENGTH, "shared");
    this.#lane = new SharedMapping(fds[1]!, 0, LANE_BYTE_LENGTH, "shared");
    const lane = ffi.view(this.#lane.pointer, LANE_BYTE_LENGTH);
    this.lane = new Uint8Array(lane);
    this.words = new Uint32Array(lane, 0, HEAP_OFFSET / 4);
    this.page = new Int32Array(ffi.view(this.#page.pointer, PAGE_BYTE_LENGTH));
  }

  static async connect(socket: string): Promise<RawClient> {
    const fd = connectTo(socket);
    sendWithDescriptors(fd, encodeJson(FRAME.hello, 0, HELLO), []);
    if (!await untilReadable(fd, HUNG_MS)) throw new Error("The worker does not greet");
    const { bytes, fds } = receiveWithDescriptors(fd, 16384)!, frames: Frame[] = [];
    new FrameReader().push(bytes, (frame) => frames.push(frame));
    return new RawClient(fd, checkWelcome(decodeJson(frames[0]!.body)), fds);
  }

  /** The lane, from some byte on. */
  view(byteOffset: number): DataView {
    return new DataView(this.lane.buffer, byteOffset);
  }

  /** Calls a method of the worker. */
  async call(method: string, params: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    await sendAll(this.fd, encodeJson(FRAME.call, 1, { method, params }));
    while (this.#frames.length === 0) {
      if (!await untilReadable(this.fd, HUNG_MS)) throw new Error("The worker does not answer");
      const received = receiveWithDescriptors(this.fd, 1 << 16);
      if (received?.bytes.length === 0) throw new Error("The worker closed the connection");
      if (received) this.#reader.push(received.bytes, (frame) => this.#frames.push(frame));
    }
    const body = decodeJson(this.#frames.shift()!.body);
    return body.result as Record<string, unknown> ?? body;
  }

  /** Asks what models are like, which are to be loaded. */
  async learn(models: readonly string[]): Promise<void> {
    for (const name of models) {
      const { index, revision } = await this.call("model", { name }) as unknown as ModelDescription;
      this.#revisions[index] = revision;
    }
  }

  /** Writes a slot's request: its description, or the bytes of one, and the words of the slot. */
  write(slot: number, request: RequestDescription | Uint8Array, words: SlotWords): void {
    const bytes = request instanceof Uint8Array ? request : describe(request), at = slotWord(slot);
    this.lane.set(bytes, requestOf(slot));
    const all = {
      flags: 0,
      priority: 1,
      revision: this.#revisions[words.model!] ?? 0,
      requestOffset: requestOf(slot),
      requestByteLength: bytes.length,
      answerOffset: answerOf(slot),
      answerCapacity: ANSWER_ROOM,
      queueMs: 0,
      cancelled: 0,
      ...words,
    };
    for (const [name, value] of Object.entries(all)) this.words[at + SLOT[name as keyof typeof SLOT]] = value;
  }

  /** Hands a slot's request over, with the next sequence. Returns that. */
  submit(slot: number): number {
    const at = slotWord(slot), sequence = this.words[at + SLOT.answered]! + 1 >>> 0;
    Atomics.store(this.words, at + SLOT.sequence, sequence);
    Atomics.or(this.words, LANE.pending + (slot >> 5), 1 << (slot & 31));
    this.ring();
    return sequence;
  }

  /** Says that it has requests, and wakes the worker. */
  ring(client: number = this.welcome.client): void {
    Atomics.or(this.page, PAGE.attention + (client >> 5), 1 << (client & 31));
    Atomics.add(this.page, PAGE.doorbell, 1);
    wakeWord(this.#page.pointer, 1);
  }

  isAnswered(slot: number, sequence: number): boolean {
    return Atomics.load(this.words, slotWord(slot) + SLOT.answered) === sequence;
  }

  /** Blocks until a request is answered. @throws when it is not */
  wait(slot: number, sequence: number, meanwhile?: () => void): Answer {
    const at = slotWord(slot), answered = at + SLOT.answered, end = now() + HUNG_MS;
    while (!this.isAnswered(slot, sequence)) {
      if (now() > end) throw new Error(`The worker does not answer: ${isHungUp(this.fd) ? "it is gone" : "it hangs"}`);
      if (meanwhile !== undefined) {
        meanwhile();
        continue;
      }
      Atomics.store(this.words, LANE.waiting, 1);
      const before = Atomics.load(this.words, answered);
      if (before !== sequence) waitForWord(this.#lane.at(answered * 4), before, 20);
    }
    const status = this.words[at + SLOT.status]!;
    return { status, code: status === ANSWER.failed ? this.#codeOf(at) : undefined };
  }

  /** Hands a request over, and blocks until it is answered. */
  run(slot: number, request: RequestDescription | Uint8Array, words: SlotWords): Answer {
    this.write(slot, request, words);
    return this.wait(slot, this.submit(slot));
  }

  #codeOf(at: number): string {
    const start = this.words[at + SLOT.answerOffset]!, length = this.words[at + SLOT.answerByteLength]!;
    try {
      return String(decodeJson(this.lane.slice(start, start + length)).code);
    } catch {
      return "UNREADABLE"; // there was no room for it
    }
  }

  [Symbol.dispose](): void {
    for (const fd of [this.fd, ...this.#fds]) closeDescriptor(fd);
    this.#page.close();
    this.#lane.close();
  }
}

/** A request's description as bytes. */
export function describe(request: RequestDescription): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(requestByteLength(request));
  writeRequest(bytes, request);
  return bytes;
}
