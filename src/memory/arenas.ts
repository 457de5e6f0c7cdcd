import { ERRNO, SystemFailure } from "../../ffi/system_failure.ts";
import { MemoryError, SystemError } from "../errors.ts";
import { Arena } from "./arena.ts";
import { unpackGeneration } from "./block_use.ts";
import { FreeSpace } from "./free_space.ts";
import type { HeldBlock } from "./holds.ts";
import type { Quota } from "./quota.ts";
import type { Backend } from "./region_file.ts";
import { PAGE } from "./region_layout.ts";
import { whenTending } from "./regions.ts";

/** Bytes of the first arena, and most of a later one: each is as large as all before it together. */
const FIRST_BYTES = 16 << 20, MOST_BYTES = 256 << 20;
/** For how long an empty arena is kept, in ms: its pages are warm. */
const KEEP_EMPTY_MS = 30_000;

/** How {@linkcode Arenas} get their memory. */
export interface ArenaOptions {
  /** Most bytes for data, over all arenas. */
  readonly maxBytes: number;
  /** Bytes for data of each arena, unless a block needs more. */
  readonly arenaBytes?: number | undefined;
  /** Default: named, and memfd where /dev/shm cannot be used. */
  readonly backend?: Backend | undefined;
}

/** Whether something failed for want of descriptors, and not because there is no such memory. */
function isPassing({ cause }: SystemError): boolean {
  return cause instanceof SystemFailure && (cause.errno === ERRNO.EMFILE || cause.errno === ERRNO.ENFILE);
}

/** A few large regions that this thread hands out in blocks. More are made as they are needed. */
export class Arenas {
  readonly #options: ArenaOptions;
  #endTending: (() => void) | undefined;
  #arenas: Arena[] = [];
  #backend: Backend | undefined;

  constructor(options: ArenaOptions) {
    this.#options = options;
    this.#backend = options.backend;
  }

  /** The arenas that there are. */
  get all(): readonly Arena[] {
    return this.#arenas;
  }

  /** What the arenas are; `undefined` before the first. */
  get backend(): Backend | undefined {
    return this.#backend;
  }

  /**
   * Hands out a block, held once by this thread. Its bytes are whatever was there before.
   *
   * @throws {MemoryError} MEMORY_BUDGET when the quota or the limit is reached; OUT_OF_MEMORY when the system has no more
   * @throws {SystemError} SYSTEM where there is no shared memory
   */
  allocate(byteLength: number, quota: Quota): HeldBlock {
    const rounded = FreeSpace.rounded(byteLength);
    if (!quota.allows(rounded)) {
      this.#collect();
      quota.check(rounded);
    }
    const found = this.#take(byteLength, quota);
    if (found !== undefined) return found;
    this.#collect();
    return this.#take(byteLength, quota) ?? this.#grow(rounded).allocate(byteLength, quota)!;
  }

  /** Whether a reference's block is of a quota. */
  isOf(region: string, packed: number, quota: Quota): boolean {
    const arena = this.#arenas.find((arena) => arena.region.name === region);
    return arena !== undefined && arena.isOf(unpackGeneration(packed).index, quota);
  }

  /** The first arena with room: the others' stay whole, and may be given back. */
  #take(byteLength: number, quota: Quota): HeldBlock | undefined {
    for (const arena of this.#arenas) {
      const block = arena.allocate(byteLength, quota);
      if (block !== undefined) return block;
    }
    return undefined;
  }

  #collect(): void {
    for (const arena of this.#arenas) {
      arena.region.tend(true);
      arena.collectAll();
    }
  }

  #grow(needed: number): Arena {
    const { arenaBytes } = this.#options;
    const usual = arenaBytes ?? Math.min(MOST_BYTES, Math.max(FIRST_BYTES, this.#dataBytes()));
    if (this.#room() < needed) this.#retireEmpty(0);
    const least = Math.ceil(needed / PAGE) * PAGE, room = this.#room();
    if (room < needed) throw this.#tooFragmented(needed);
    const wanted = Math.min(Math.max(usual, least), Math.max(room, needed));
    let arena: Arena;
    try {
      arena = this.#make(wanted);
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      this.#retireEmpty(0);
      arena = this.#make(Math.min(wanted, least));
    }
    this.#arenas.push(arena);
    this.#endTending ??= whenTending(() => this.#tend());
    return arena;
  }

  #tend(): void {
    for (const arena of this.#arenas) arena.collectAll();
    this.#retireEmpty(KEEP_EMPTY_MS);
    if (this.#arenas.length === 0) this.#stopTending();
  }

  #stopTending(): void {
    this.#endTending?.();
    this.#endTending = undefined;
  }

  #make(dataByteLength: number): Arena {
    if (this.#backend !== undefined) return new Arena(this.#backend, dataByteLength);
    try {
      const arena = new Arena("named", dataByteLength);
      this.#backend = "named";
      return arena;
    } catch (error) {
      if (!(error instanceof SystemError) || isPassing(error)) throw error;
      const arena = new Arena("memfd", dataByteLength); // there is no /dev/shm, or it is refused
      this.#backend = "memfd";
      return arena;
    }
  }

  #dataBytes(): number {
    return this.#arenas.reduce((sum, { region }) => sum + region.layout.dataByteLength, 0);
  }

  #room(): number {
    return this.#options.maxBytes - this.#dataBytes();
  }

  #tooFragmented(needed: number): MemoryError {
    const free = this.#arenas.reduce((sum, { freeBytes }) => sum + freeBytes, 0);
    const largest = this.#arenas.reduce((most, { largestFreeBytes }) => Math.max(most, largestFreeBytes), 0);
    const blocks = this.#arenas.reduce((sum, arena) => sum + arena.blocks, 0);
    const why = largest < needed
      ? `the largest free piece of the allocator's ${this.#options.maxBytes} bytes has ${largest}, all together have ${free}`
      : `its arenas hold ${blocks} tensors, and no more of any size`;
    const message = `Cannot allocate ${needed} bytes of shared memory: ${why}`;
    return new MemoryError("MEMORY_BUDGET", message, { neededBytes: needed, availableBytes: largest });
  }

  #retireEmpty(emptyMs: number): void {
    const isKept = (arena: Arena): boolean => arena.blocks > 0 || arena.emptyMs < emptyMs;
    for (const arena of this.#arenas) if (!isKept(arena)) arena.retire();
    this.#arenas = this.#arenas.filter(({ region }) => !region.closed);
  }

  /** Hands out no more, and gives back all that nobody holds. */
  dispose(): void {
    this.#stopTending();
    for (const arena of this.#arenas.splice(0)) arena.retire();
  }
}
