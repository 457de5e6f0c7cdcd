import { SLOTS } from "../../protocol/lane_layout.ts";
import { EXECUTOR_HEAD_WORDS, EXECUTOR_WORDS, EXECUTORS_AT } from "./layout.ts";
import type { Entry } from "./queues.ts";

/** Positions in an executor's entry; then come the requests that it runs. */
const EXECUTOR = { turned: 0, running: 1, model: 2, stopped: 3, runOptions: 4 /* two words */ } as const;

/** An address in words of 32 bits: a bigint costs more than the rest of it. */
export interface AddressWords {
  readonly low: number;
  readonly high: number;
}

/** An address in words. */
export function addressWords(address: bigint): AddressWords {
  return { low: Number(address & 0xffffffffn), high: Number(address >> 32n) };
}

/** What an executor runs. */
export interface Run {
  readonly runOptions: bigint;
  readonly entries: readonly Pick<Entry, "client" | "slot" | "sequence">[];
}

/** What each executor is doing. For who works alone, but for what only looks. */
export class ExecutorRuns {
  readonly #u32: Uint32Array;

  constructor(u32: Uint32Array) {
    this.#u32 = u32;
  }

  /** Notes that an executor has seen a change of control: it uses nothing any more that was gone by then. */
  noteTurn(executor: number, control: number): void {
    Atomics.store(this.#u32, this.#at(executor) + EXECUTOR.turned, control);
  }

  /** The change of control that an executor saw last. */
  turnOf(executor: number): number {
    return Atomics.load(this.#u32, this.#at(executor) + EXECUTOR.turned);
  }

  /** Notes what an executor begins to run: who cancels one of it finds the run options. */
  begin(executor: number, model: number, runOptions: AddressWords, entries: readonly Entry[]): void {
    const at = this.#at(executor), u32 = this.#u32;
    u32[at + EXECUTOR.model] = model;
    u32[at + EXECUTOR.runOptions] = runOptions.low;
    u32[at + EXECUTOR.runOptions + 1] = runOptions.high;
    for (let i = 0, to = at + EXECUTOR_HEAD_WORDS; i < entries.length; i++) {
      const { client, slot, sequence } = entries[i]!;
      u32[to++] = client * SLOTS + slot;
      u32[to++] = sequence;
    }
    u32[at + EXECUTOR.running] = entries.length;
  }

  /** Notes that it is over, and tells whether it was stopped. After it, nobody touches the run options. */
  end(executor: number): boolean {
    const at = this.#at(executor), wasStopped = this.#u32[at + EXECUTOR.stopped] !== 0;
    this.#u32[at + EXECUTOR.running] = this.#u32[at + EXECUTOR.stopped] = 0;
    return wasStopped;
  }

  /** Notes that an executor's run was told to stop. */
  noteStopped(executor: number): void {
    this.#u32[this.#at(executor) + EXECUTOR.stopped] = 1;
  }

  /** How many requests an executor runs. */
  countOf(executor: number): number {
    return this.#u32[this.#at(executor) + EXECUTOR.running]!;
  }

  /** How many executors run a model now, of so many. */
  busy(model: number, executors: number): number {
    let busy = 0;
    for (let executor = 0; executor < executors; executor++) {
      if (this.countOf(executor) !== 0 && this.#u32[this.#at(executor) + EXECUTOR.model] === model) busy++;
    }
    return busy;
  }

  /** What an executor runs: its run options, and the requests. */
  of(executor: number): Run {
    const at = this.#at(executor), u32 = this.#u32;
    const entries = Array.from({ length: this.countOf(executor) }, (_, i) => {
      const entry = u32[at + EXECUTOR_HEAD_WORDS + 2 * i]!, sequence = u32[at + EXECUTOR_HEAD_WORDS + 2 * i + 1]!;
      return { client: Math.floor(entry / SLOTS), slot: entry % SLOTS, sequence };
    });
    const high = BigInt(u32[at + EXECUTOR.runOptions + 1]!), low = BigInt(u32[at + EXECUTOR.runOptions]!);
    return { runOptions: high << 32n | low, entries };
  }

  #at(executor: number): number {
    return EXECUTORS_AT + executor * EXECUTOR_WORDS;
  }
}
