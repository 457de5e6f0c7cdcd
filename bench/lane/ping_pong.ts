/**
 * The floor of a synchronous call: two processes and one page of shared memory, in which each writes a message of 64
 * bytes, counts, and waits for the other to count, as the two ends of a lane wait: by spinning while they run on two
 * cores, then in the kernel.
 */
import process from "node:process";
import { closeDescriptor, createMemoryDescriptor, reopenDescriptor, reserveBytes } from "../../ffi/descriptors.ts";
import { currentCpu, waitForWord, wakeWord } from "../../ffi/futex.ts";
import { ffi } from "../../ffi/mod.ts";
import { SharedMapping } from "../../ffi/shared_mapping.ts";

const PAGE = 4096, MESSAGE = 64, SPIN_US = 50, TIMEOUT_MS = 100, MOST_TIMEOUTS = 100;
/** Loads between two looks at the clock. */
const LOADS = 64;
/** Positions in words of 32 bits: of an end, and from there of its count, of whether it waits and where, and its message. */
const ENDS = { client: 0, server: 64 } as const, COUNT = 0, WAITING = 16, CPU = 17, DATA = 32;
const STOP = -1;

/** Where the page is. */
export interface PageReference {
  readonly pid: number;
  readonly fd: number;
}

/** One end of it. */
class End implements Disposable {
  readonly #mapping: SharedMapping;
  readonly #words: Int32Array;
  readonly #own: number;
  readonly #other: number;
  readonly #written: Int32Array;
  readonly #read: Int32Array;
  readonly #look: () => void;

  /** @param look called when nothing came for a while: throws to give up */
  constructor(fd: number, own: keyof typeof ENDS, look: () => void) {
    this.#mapping = new SharedMapping(fd, 0, PAGE, "shared");
    this.#words = new Int32Array(ffi.view(this.#mapping.pointer, PAGE));
    this.#own = ENDS[own];
    this.#look = look;
    this.#other = ENDS[own === "client" ? "server" : "client"];
    [this.#written, this.#read] = [this.#own, this.#other].map((end) =>
      this.#words.subarray(end + DATA, end + DATA + MESSAGE / 4)
    ) as [Int32Array, Int32Array];
  }

  /** @param message 64 bytes */
  send(count: number, message: Int32Array): void {
    this.#written.set(message);
    Atomics.store(this.#words, this.#own + COUNT, count);
    if (Atomics.load(this.#words, this.#other + WAITING) === 1) wakeWord(this.#mapping.at(4 * (this.#own + COUNT)), 1);
  }

  /** Waits until the other end's count is not `last` any more, and copies its message. */
  receive(last: number, message: Int32Array): number {
    const count = this.#wait(last);
    message.set(this.#read);
    return count;
  }

  #wait(last: number): number {
    const words = this.#words, at = this.#other + COUNT, count = Atomics.load(words, at);
    if (count !== last) return count;
    const cpu = currentCpu();
    Atomics.store(words, this.#own + CPU, cpu);
    return cpu === Atomics.load(words, this.#other + CPU) ? this.#sleep(last) : this.#spin(last);
  }

  #spin(last: number): number {
    const words = this.#words, at = this.#other + COUNT, end = performance.now() + SPIN_US / 1000;
    do {
      for (let i = 0; i < LOADS; i++) {
        const count = Atomics.load(words, at);
        if (count !== last) return count;
      }
    } while (performance.now() < end);
    return this.#sleep(last);
  }

  #sleep(last: number): number {
    const words = this.#words, at = this.#other + COUNT, pointer = this.#mapping.at(4 * at);
    let count: number;
    Atomics.store(words, this.#own + WAITING, 1);
    while ((count = Atomics.load(words, at)) === last) {
      waitForWord(pointer, last, TIMEOUT_MS);
      if (Atomics.load(words, at) === last) this.#look();
    }
    Atomics.store(words, this.#own + WAITING, 0);
    return count;
  }

  [Symbol.dispose](): void {
    this.#mapping.close();
  }
}

/** The end that calls. */
export class Caller implements Disposable {
  readonly #fd = createMemoryDescriptor("coload-bench-ping-pong");
  readonly #end: End;
  readonly #message = new Int32Array(MESSAGE / 4).fill(1);
  readonly #answer = new Int32Array(MESSAGE / 4);
  #count = 0;
  #timeouts = 0;

  constructor() {
    reserveBytes(this.#fd, PAGE);
    this.#end = new End(this.#fd, "client", () => {
      if (++this.#timeouts > MOST_TIMEOUTS) throw new Error("the other end does not answer");
    });
  }

  /** For {@linkcode answerCalls}. */
  get page(): PageReference {
    return { pid: process.pid, fd: this.#fd };
  }

  /** One call and its answer. */
  call(): void {
    const last = this.#count, count = this.#count = last + 1 & 0x3fffffff;
    this.#timeouts = 0;
    this.#end.send(count, this.#message);
    const answer = this.#end.receive(last, this.#answer);
    if (answer !== count) throw new Error(`${answer} answers ${count}`);
  }

  [Symbol.dispose](): void {
    this.#end.send(STOP, this.#message);
    this.#end[Symbol.dispose]();
    closeDescriptor(this.#fd);
  }
}

/**
 * Answers calls from the next turn on until the caller is gone. This thread does nothing else meanwhile.
 *
 * @param work done for each call, before its answer
 */
export function answerCalls({ pid, fd }: PageReference, work?: () => void): void {
  const own = reopenDescriptor(fd, pid), parent = process.ppid;
  const end = new End(own, "server", () => {
    if (process.ppid !== parent) process.exit(1);
  });
  closeDescriptor(own);
  setTimeout(() => {
    const message = new Int32Array(MESSAGE / 4);
    for (let count = 0; count !== STOP;) {
      count = end.receive(count, message);
      work?.();
      end.send(count, message);
    }
    end[Symbol.dispose]();
  });
}
