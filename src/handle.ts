import { LEDGER, note, strike } from "../ffi/process/ledger.ts";
import { ffi, type Pointer } from "../ffi/mod.ts";

/** How the native thing behind a {@linkcode Handle} is released. */
export interface HandleOptions {
  /** The C function that releases it, and its second argument if it takes one. */
  readonly release: Pointer;
  readonly releaseArgument?: bigint;
  /** Whether what else this thread holds may depend on it: when the thread ends, it is then released after that. */
  readonly last?: boolean;
  /** Whether it is something of others', who may hold what this thread lent them: it is then released before that. */
  readonly foreign?: boolean;
}

/** How many of one kind live. */
interface Count {
  value: number;
}

const live = new Map<string, Count>();

/** Counts of this thread's unreleased native handles by kind: all zero where nothing leaks. */
export function liveHandles(): Readonly<Record<string, number>> {
  return Object.fromEntries(
    [...live].map(([kind, { value }]) => [kind, value] as const).filter(([, value]) => value > 0),
  );
}

/** Adds to a kind's live count. */
export function countHandle(kind: string, change: 1 | -1): void {
  countOf(kind).value += change;
}

/** A kind's live count, for who changes it often. */
export function countOf(kind: string): Count {
  const found = live.get(kind), count = found ?? { value: 0 };
  if (found === undefined) live.set(kind, count);
  return count;
}

/**
 * Owns a native pointer: counts it, and has it released when this thread ends without having done so.
 *
 * It releases nothing by itself: whoever owns it does, by {@linkcode Handle.take} and a call.
 */
export class Handle {
  readonly kind: string;
  readonly address: bigint;
  #pointer: Pointer | null;
  #note: number;

  constructor(kind: string, pointer: Pointer, { release, releaseArgument = 0n, last, foreign }: HandleOptions) {
    const how = last ? LEDGER.callLast : foreign ? LEDGER.callFirst : LEDGER.call;
    this.kind = kind;
    this.address = ffi.address(pointer);
    this.#pointer = pointer;
    this.#note = note(ffi.address(release), this.address, releaseArgument, how);
    countHandle(kind, 1);
  }

  /** The pointer; `null` once taken. */
  get pointer(): Pointer | null {
    return this.#pointer;
  }

  /** Gives the pointer up to the caller, who now releases it; `null` when that was done before. */
  take(): Pointer | null {
    const pointer = this.#pointer;
    if (pointer === null) return null;
    this.#pointer = null;
    strike(this.#note);
    countHandle(this.kind, -1);
    return pointer;
  }
}
