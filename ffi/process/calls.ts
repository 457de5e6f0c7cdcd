import { errno, libc, strerror } from "../libc.ts";
import { ffi, type Mailbox, type Pointer } from "../mod.ts";
import { offset } from "../native_memory.ts";
import { owner, OWNER_STRIDE, owners, REQUESTS, SLAB_BYTE_LENGTH, U32, WORD } from "./owner.ts";
import { type Lane, poolProblem, REQUEST_BYTE_LENGTH, submitter } from "./pool.ts";
import { Watch } from "./watch.ts";

const WORDS = REQUEST_BYTE_LENGTH / 8, HALVES = REQUEST_BYTE_LENGTH / 4;
/** Positions in a request, whose layout pool.ts describes: RESULT in its 64-bit words, the others in its 32-bit words. */
const RESULT = 9, MAILBOX = 20, STATE = 21, WATCH = 24;
const MSG_DONTWAIT = 0x40, MSG_NOSIGNAL = 0x4000;

interface Waiting {
  readonly lane: Lane;
  readonly fn: bigint;
  readonly args: readonly bigint[];
  readonly resolve: (result: bigint) => void;
}

/** Values of a request's watch. */
const WATCHED = 1, SEEN = 2;
/** How often to look for the end of a call: about 10 us. */
const LOOKS = 2000;

/** This thread's requests to the pool, and its mailbox. */
class Calls {
  readonly #slab: number;
  readonly #words: BigUint64Array;
  readonly #u32: Uint32Array;
  readonly #requests: Pointer[] = [];
  readonly #free: number[] = [];
  readonly #resolvers: (((result: bigint) => void) | undefined)[] = new Array(REQUESTS);
  readonly #waiting: Waiting[] = [];
  readonly #wakers = new Set<() => void>();
  readonly #watch = new Watch();
  #tail: Uint8Array = new Uint8Array(0);
  #mailbox: Mailbox | undefined;
  #pending = 0;

  constructor() {
    const { words, u32 } = owner(), address = words[WORD.slab]!;
    const buffer = ffi.view(offset({ address }, 0), SLAB_BYTE_LENGTH);
    this.#slab = Number(address);
    this.#words = new BigUint64Array(buffer);
    this.#u32 = new Uint32Array(buffer);
    for (let slot = REQUESTS - 1; slot >= 0; slot--) {
      this.#free.push(slot);
      this.#u32[slot * HALVES + MAILBOX] = u32[U32.writeFd]!;
      this.#requests[slot] = offset({ address }, slot * REQUEST_BYTE_LENGTH);
    }
    void this.#listen(u32[U32.readFd]!);
  }

  async #listen(fd: number): Promise<void> {
    const mailbox = await ffi.listen(fd, (bytes) => this.#receive(bytes));
    this.#mailbox = mailbox;
    if (this.#pending > 0) mailbox.ref();
  }

  #receive(bytes: Uint8Array): void {
    this.#watch.turned();
    if (this.#tail.length > 0) {
      const joined = new Uint8Array(this.#tail.length + bytes.length);
      joined.set(this.#tail);
      joined.set(bytes, this.#tail.length);
      bytes = joined;
    }
    const whole = bytes.length & ~7, view = new DataView(bytes.buffer, bytes.byteOffset, whole);
    this.#tail = whole === bytes.length ? this.#tail.subarray(0, 0) : bytes.slice(whole);
    for (let at = 0; at < whole; at += 8) {
      const low = view.getUint32(at, true), high = view.getUint32(at + 4, true);
      if (high === 0 && low === 0) this.#wake();
      else this.#settle((high * 4294967296 + low - this.#slab) / REQUEST_BYTE_LENGTH);
    }
  }

  #wake(): void {
    Atomics.store(owner().u32, U32.woken, 0); // before the wakers look: what changes from now on wakes again
    for (const wake of this.#wakers) wake();
  }

  #settle(slot: number): void {
    const resolve = this.#resolvers[slot]!, result = this.#words[slot * WORDS + RESULT]!;
    this.#resolvers[slot] = undefined;
    this.#free.push(slot);
    if (--this.#pending === 0) this.#mailbox?.unref();
    const next = this.#waiting.shift();
    if (next) this.#submit(next);
    resolve(result);
  }

  #submit({ lane, fn, args, resolve }: Waiting, watch = 0): number {
    const slot = this.#free.pop()!, at = slot * WORDS, half = slot * HALVES;
    this.#words[at] = fn;
    for (let i = 0; i < 8; i++) this.#words[at + 1 + i] = args[i] ?? 0n;
    this.#u32[half + STATE] = 1;
    Atomics.store(this.#u32, half + WATCH, watch);
    this.#resolvers[slot] = resolve;
    if (this.#pending++ === 0) this.#mailbox?.ref();
    const { submit, lanes } = submitter();
    if (Number(submit(this.#requests[slot]!, lanes[lane])) !== 8) {
      throw new Error(`cannot reach the pool of native threads: ${strerror(errno())}`);
    }
    return slot;
  }

  call(lane: Lane, fn: bigint, args: readonly bigint[]): Promise<bigint> {
    return new Promise((resolve) => {
      const request = { lane, fn, args, resolve };
      if (this.#free.length === 0) this.#waiting.push(request);
      else if (lane === "run" && this.#watch.worthwhile(this.#pending)) this.#submitAndWatch(request);
      else this.#submit(request);
    });
  }

  /** Looks for the end of a call that is expected within microseconds, which waking up for a message takes longer than. */
  #submitAndWatch(request: Waiting): void {
    const slot = this.#submit(request, WATCHED), at = slot * HALVES + WATCH;
    let looks = 0;
    while (looks < LOOKS && Atomics.load(this.#u32, at) !== SEEN) looks++;
    const seen = looks < LOOKS || Atomics.compareExchange(this.#u32, at, WATCHED, 0) === SEEN;
    if (seen) this.#settle(slot);
    this.#watch.note(seen);
  }

  onWake(wake: () => void): void {
    this.#wakers.add(wake);
  }

  hold(): Disposable {
    if (this.#pending++ === 0) this.#mailbox?.ref();
    return {
      [Symbol.dispose]: () => {
        if (--this.#pending === 0) this.#mailbox?.unref();
      },
    };
  }
}

let calls: Calls | undefined;
let zero: Pointer | undefined;

const get = (): Calls => calls ??= new Calls();

/**
 * Calls a C function of up to eight integer or pointer arguments on a native thread of a lane, and resolves with its
 * result. The lane must have threads. Everything the arguments point at must be native memory that lives until then:
 * this thread can be terminated meanwhile, and the call goes on.
 */
export function callNative(lane: Lane, fn: Pointer | bigint, args: readonly bigint[]): Promise<bigint> {
  const address = typeof fn === "bigint" ? fn : ffi.address(fn);
  return poolProblem() === undefined ? get().call(lane, address, args) : ffi.callElsewhere(lane, address, args);
}

/** `"native"` when asynchronous calls run on native threads; otherwise why they take the runtime's own way. */
export function asynchronousCalls(): string {
  return poolProblem() ?? "native";
}

/** Calls back on this thread's event loop whenever another thread {@linkcode wake}s it. */
export function onWake(callback: () => void): void {
  get().onWake(callback);
}

/** Keeps this thread's event loop alive until disposed, as a pending call does. */
export function holdEventLoop(): Disposable {
  return get().hold();
}

/**
 * Wakes another owner's thread, by its index. One message at a time is enough, and more would fill its mailbox while its
 * loop is busy, until the pool's own threads could not write there.
 */
export function wake(index: number): void {
  const all = owners(), at = index * OWNER_STRIDE;
  if (Atomics.exchange(all, at + U32.woken, 1) === 1) return;
  zero ??= offset(owner().memory, 128); // a word of the entry that nobody writes: a null request
  libc().send(all[at + U32.writeFd]!, zero, 8n, MSG_DONTWAIT | MSG_NOSIGNAL);
}
