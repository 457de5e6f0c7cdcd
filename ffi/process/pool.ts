/**
 * Native threads that call C while the event loops stay free. No JavaScript runs on them and none is called back: a
 * request is 128 bytes of native memory whose address goes into a pipe, and whose address comes back through the
 * mailbox of the thread that asked, unless that thread watches the request.
 *
 * A request: +0 function, +8 a0 .. +64 a7, +72 result, +80 mailbox (i32 fd), +84 state (0 free, 1 queued, 2 running,
 * 3 done), +88 submitted (u32), +92 finished (u32, the pool's last touch), +96 watch (0 not watched, 1 watched, 2 seen
 * by the pool as done). A lane: +0 &read, +8 &write, +16 the pipe's readable end (i32), +20 exiting, +24 running,
 * +32 &_exit, +40 the pipe's writable end (i32), +44 threads, +64 looks (how often an idle thread looks for a request
 * before it sleeps), +68 lookers (threads that look), +72 handed (a request for whoever looks, past the pipe).
 *
 * @module
 */
import { checkExecutableMemory } from "../executable_memory.ts";
import { errno, functionPointer, libc, strerror } from "../libc.ts";
import { type MachineCode, poolCode } from "../machine_code/mod.ts";
import { ffi, type Pointer } from "../mod.ts";
import { mapMemory, type NativeMemory, offset, PROT, unmapMemory } from "../native_memory.ts";
import { exclusively, processBlock } from "./shared.ts";

/**
 * Queues of their own, so that a long load starves no run and neither delays the release of memory. `map` is for loads
 * that leave little but garbage: on one thread, whose heap can be given back. `wait` is for waiting for descriptors.
 */
export const LANES = ["run", "load", "release", "map", "wait"] as const;
/** One of {@linkcode LANES}. */
export type Lane = typeof LANES[number];

/** Bytes of one request. */
export const REQUEST_BYTE_LENGTH = 128;

const LANE_BYTE_LENGTH = 128, CODE_WORD = LANES.length * LANE_BYTE_LENGTH / 8;
const O_CLOEXEC = 0x80000, F_SETPIPE_SZ = 1031, PIPE_BYTE_LENGTH = 1 << 20, SIG_SETMASK = 2;

let block: NativeMemory | undefined;
let problem: string | undefined;
let submission: Submission | undefined;

const code = (): MachineCode => poolCode(ffi.arch === "arm64" ? "arm64" : "x64");

function installCode(): bigint {
  if (ffi.arch === "other") throw new Error("there is no thread code for this architecture");
  checkExecutableMemory(ffi);
  const { bytes } = code();
  const page = mapMemory(4096);
  new Uint8Array(ffi.view(page.pointer, page.byteLength)).set(bytes);
  if (libc().mprotect(page.pointer, 4096n, PROT.READ | PROT.EXEC) !== 0) {
    const reason = strerror(errno());
    unmapMemory(page);
    throw new Error(`the system forbids executable memory: ${reason}`);
  }
  return page.address;
}

function openLane(memory: NativeMemory, lane: number): void {
  const at = lane * LANE_BYTE_LENGTH;
  const words = new BigUint64Array(ffi.view(offset(memory, at), LANE_BYTE_LENGTH));
  const i32 = new Int32Array(words.buffer);
  if (libc().pipe2(offset(memory, at + 48), O_CLOEXEC) !== 0) {
    throw new Error(`cannot make a pipe: ${strerror(errno())}`);
  }
  libc().fcntl(i32[13]!, F_SETPIPE_SZ, PIPE_BYTE_LENGTH); // refused beyond a limit: then the pipe stays as it is
  words[0] = ffi.address(functionPointer("read"));
  words[1] = ffi.address(functionPointer("write"));
  words[4] = ffi.address(functionPointer("_exit"));
  i32[4] = i32[12]!;
  i32[10] = i32[13]!;
}

function pool(): NativeMemory {
  return block ??= processBlock("pool", 4096, (memory) => {
    new BigUint64Array(ffi.view(memory.pointer, 4096))[CODE_WORD] = installCode();
    LANES.forEach((_, lane) => openLane(memory, lane));
  });
}

/** Why this process can have no native threads; `undefined` where it can. */
export function poolProblem(): string | undefined {
  if (block !== undefined || problem !== undefined) return problem;
  try {
    pool();
  } catch (error) {
    problem = (error as Error).message;
  }
  return problem;
}

function startThread(memory: NativeMemory, lane: number, start: Pointer): void {
  const scratch = mapMemory(4096), bytes = new Uint8Array(ffi.view(scratch.pointer, 4096));
  bytes.fill(0xff, 64, 192);
  libc().pthread_sigmask(SIG_SETMASK, offset(scratch, 64), offset(scratch, 192)); // the thread inherits: no signals
  const error = libc().pthread_create(scratch.pointer, null, start, offset(memory, lane * LANE_BYTE_LENGTH));
  libc().pthread_sigmask(SIG_SETMASK, offset(scratch, 192), null);
  const thread = new BigUint64Array(bytes.buffer)[0]!;
  unmapMemory(scratch);
  if (error !== 0) throw new Error(`cannot start a thread: ${strerror(error)}`);
  libc().pthread_detach(thread);
}

/** Sees to it that a lane has this many threads, where it can have any. They stay for the life of the process. */
export function ensureThreads(lane: Lane, count: number): void {
  if (poolProblem() !== undefined) return;
  const memory = pool(), index = LANES.indexOf(lane);
  const u32 = new Uint32Array(ffi.view(offset(memory, index * LANE_BYTE_LENGTH), LANE_BYTE_LENGTH));
  const address = new BigUint64Array(ffi.view(memory.pointer, 4096))[CODE_WORD]!;
  const entry = offset({ address }, code().start);
  exclusively(() => {
    for (; u32[11]! < count; u32[11]!++) startThread(memory, index, entry);
  });
}

/** How this thread hands requests to the pool. */
export interface Submission {
  /** `ssize_t submit(struct request *, struct lane *)` */
  readonly submit: (request: Pointer, lane: Pointer) => bigint;
  /** The lanes. */
  readonly lanes: { readonly [L in Lane]: Pointer };
  /** How often an idle thread of the `run` lane looks for a request before it sleeps: a cell to write. */
  readonly looks: Uint32Array;
}

const SUBMIT = { parameters: ["pointer", "pointer"], result: "i64" } as const;

/** How this thread hands requests to the pool. */
export function submitter(): Submission {
  if (submission) return submission;
  const memory = pool(), address = new BigUint64Array(ffi.view(memory.pointer, 4096))[CODE_WORD]!;
  const pointer = offset({ address }, code().submit);
  const lanes = LANES.map((lane, i) => [lane, offset(memory, i * LANE_BYTE_LENGTH)]);
  const looks = new Uint32Array(ffi.view(offset(memory, LANES.indexOf("run") * LANE_BYTE_LENGTH + 64), 4));
  const { submit } = ffi.link({ submit: pointer }, { submit: SUBMIT }).symbols;
  return submission = {
    submit: submit as Submission["submit"],
    lanes: Object.fromEntries(lanes) as Submission["lanes"],
    looks,
  };
}

/**
 * Lets a process that exits in the middle of a call leave at once, before the destructors of the library under that
 * call. Handlers run in the reverse order of their registration: call this after a library has made its statics.
 */
export function leaveBeforeDestructors(): void {
  if (poolProblem() !== undefined) return;
  const memory = pool(), address = new BigUint64Array(ffi.view(memory.pointer, 4096))[CODE_WORD]!;
  const leave = offset({ address }, code().leave);
  LANES.forEach((_, i) => libc().on_exit(leave, offset(memory, i * LANE_BYTE_LENGTH)));
}
