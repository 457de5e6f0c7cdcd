import { clearTimeout, setTimeout } from "node:timers";
import { cstring } from "../../ffi/cstring.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { NativeError, OrtError } from "../errors.ts";
import { Handle } from "../handle.ts";
import { ort } from "../ort/environment.ts";
import { rawRun } from "../ort/raw_run.ts";
import { trimMemory } from "../ort/release_session.ts";
import { pointerIn, scratch } from "../ort/scratch.ts";
import type { ShrinkArena } from "../ort/session_options.ts";
import { check } from "../ort/status.ts";
import type { ValueInfo } from "../ort/type_info.ts";
import type { Sharing } from "../weights/share.ts";
import { MadeUpFeeds, whyNotFed } from "../weights/feeds.ts";

/** What is done about it: `trim` for a session without an arena, whose memory is the C library's once it is idle. */
export type ArenaPolicy = ShrinkArena | "trim";

/** What holds where the options do not say: only with weights shared are activations what a process has for itself. */
export function arenaPolicy(
  { shrinkArena, enableCpuMemArena }: {
    shrinkArena?: ShrinkArena | undefined;
    enableCpuMemArena?: boolean | undefined;
  },
  { mode }: Sharing,
): ArenaPolicy {
  const wanted = shrinkArena ?? (mode === "off" ? "never" : "idle");
  if (enableCpuMemArena !== false) return wanted;
  return wanted === "idle" ? "trim" : "never";
}

/** How long a session has had no run when it is taken for idle. */
const IDLE_MS = 1000;

/** Run options. @param shrinks whether the run gives its session's activations back when it is over */
export function makeRunOptions(shrinks: boolean): Handle {
  const { api, address } = ort();
  check(api.CreateRunOptions(scratch().a), "make run options");
  const options = new Handle("run options", pointerIn()!, { release: ffi.pointer(address("ReleaseRunOptions"))! });
  if (!shrinks) return options;
  const key = cstring("memory.enable_memory_arena_shrinkage"), value = cstring("cpu:0");
  check(api.AddRunConfigEntry(options.pointer!, key, value), "make run options");
  return options;
}

/** Releases what {@linkcode makeRunOptions} made. Harmless when repeated. */
export function releaseRunOptions(options: Handle | undefined): void {
  const pointer = options?.take();
  if (pointer) ort().api.ReleaseRunOptions(pointer);
}

/** The session whose arena it is. */
export interface Arena {
  readonly policy: "idle" | "trim";
  readonly pointer: Pointer;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** Keeps the native session from being released until the result is disposed of; `undefined` when it is too late. */
  hold(): Disposable | undefined;
}

/** Gives a session's activations back to the system once it has had no run for a second. */
export class IdleArena {
  readonly #arena: Arena;
  #ran = false;
  #running = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** Notes that a run began that the event loop does not wait for. */
  began(): void {
    this.#running++;
  }

  /** Notes that it is over. */
  ended(): void {
    this.#running--;
    this.ran();
  }

  /** Notes that a run is over that the event loop waited for. */
  ran(): void {
    this.#ran = true;
    this.#timer ??= setTimeout(() => this.#look(), IDLE_MS).unref();
  }

  /** Does nothing any more; for a session that ends. */
  stop(): void {
    clearTimeout(this.#timer);
  }

  #look(): void {
    this.#timer = undefined;
    if (this.#ran || this.#running > 0) {
      this.#ran = false;
      this.#timer = setTimeout(() => this.#look(), IDLE_MS).unref();
    } else void this.#shrink();
  }

  async #shrink(): Promise<void> {
    try {
      using held = this.#arena.hold();
      if (held !== undefined && this.#arena.policy === "idle") await runToShrink(this.#arena);
      if (held !== undefined) await trimMemory();
    } catch (error) { // such as that there is no memory even for this: then it is kept
      if (!(error instanceof NativeError || error instanceof RangeError)) throw error;
    }
  }
}

/**
 * Runs a session that stops before its first operator, and whose end shrinks the arena: onnxruntime has no other way.
 * A model whose inputs cannot be made up keeps its arena.
 */
async function runToShrink({ pointer: session, inputs, outputs }: Arena): Promise<void> {
  const output = outputs.find(({ kind }) => kind === "tensor");
  if (output === undefined || whyNotFed(inputs) !== undefined) return;
  const { api } = ort(), options = makeRunOptions(true), runOptions = options.pointer!;
  try {
    check(api.RunOptionsSetTerminate(runOptions), "give memory back");
    using feeds = new MadeUpFeeds(inputs, { size: 1, dimensions: {}, integers: 0 });
    const made = await rawRun({ session, inputs: feeds.values, outputs: [output.name], runOptions });
    made.forEach((value) => api.ReleaseValue(value));
  } catch (error) {
    if (!(error instanceof OrtError)) throw error; // it was stopped, as it should be
  } finally {
    releaseRunOptions(options);
  }
}

/**
 * Has a session's arena take its first piece of memory now: that one it never gives back, and it is the smallest only
 * when little is asked for.
 */
export function takeFirstPiece(session: Pointer): void {
  const { api, cpuMemory } = ort(), { a } = scratch(), doing = "prepare the arena";
  check(api.CreateAllocator(session, cpuMemory, a), doing);
  const allocator = pointerIn()!;
  try {
    check(api.AllocatorAlloc(allocator, 1n, a), doing);
    check(api.AllocatorFree(allocator, pointerIn()!), doing);
  } finally {
    api.ReleaseAllocator(allocator);
  }
}
