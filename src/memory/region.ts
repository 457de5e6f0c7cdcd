import { reserveBytes } from "../../ffi/descriptors.ts";
import { isLockedElsewhere, tryLockBytes, unlockBytes } from "../../ffi/locks.ts";
import { ffi } from "../../ffi/mod.ts";
import type { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { processIdentity } from "../../ffi/process_identity.ts";
import { SharedMapping } from "../../ffi/shared_mapping.ts";
import { SystemFailure } from "../../ffi/system_failure.ts";
import { staleError, SystemError } from "../errors.ts";
import { countHandle } from "../handle.ts";
import {
  freeBlock,
  isAbandoned,
  isAnySent,
  NOTHING,
  type OpenTables,
  OWNER_SLOT,
  punchUnheld,
  reclaimBlocks,
  type Reclaimed,
} from "./reclaim.ts";
import {
  type Backend,
  createFile,
  memfdName,
  openFile,
  openPassed,
  publishFile,
  type RegionFile,
} from "./region_file.ts";
import { encodeHeader, layOut, type RegionLayout, SLOTS } from "./region_layout.ts";
import { type BlockEntry, RegionTables } from "./region_tables.ts";
import { takeSlot, unlinkIfUnused } from "./slots.ts";

/**
 * A region of shared memory, as this thread takes part in it: it holds a lock that the kernel lets go when the thread's
 * descriptor is closed, and by which all others see that it lives.
 */
export class Region implements OpenTables {
  readonly name: string;
  readonly backend: Backend;
  readonly layout: RegionLayout;
  readonly fd: number;
  readonly #descriptor: OwnedDescriptor;
  readonly tables: RegionTables;
  readonly mapping: SharedMapping;
  /** Whether this thread made it. */
  readonly isOwner: boolean;
  readonly #slot: number;
  readonly #bit: bigint;
  /** How often this thread holds each block. */
  readonly #holds: Uint32Array;
  #held = 0;
  /** What a peer writes into the tables decides nothing about what this thread has mapped. */
  #retired = false;
  #closed = false;
  /** Where a block goes that nobody holds any more, and that this thread made. */
  onFree: ((index: number) => void) | undefined;
  /** Called when this thread takes part no more. */
  onClose: (() => void) | undefined;

  private constructor(file: RegionFile, name: string, mapping: SharedMapping, tables: RegionTables, slot: number) {
    this.name = name;
    this.backend = file.backend;
    this.layout = file.layout;
    this.#descriptor = file.descriptor;
    this.fd = file.descriptor.fd;
    this.mapping = mapping;
    this.tables = tables;
    this.isOwner = slot === OWNER_SLOT;
    this.#slot = slot;
    this.#bit = RegionTables.bitOf(slot);
    this.#holds = new Uint32Array(file.layout.blockCapacity);
    countHandle("region", 1);
  }

  /**
   * Makes a region. It can be found when it is complete, and all of its memory is there.
   *
   * @throws {MemoryError} OUT_OF_MEMORY
   * @throws {SystemError} SYSTEM
   */
  static create(backend: Backend, dataByteLength: number, blockCapacity = 0): Region {
    const layout = layOut(dataByteLength, blockCapacity), descriptor = createFile(backend, layout), { fd } = descriptor;
    return Region.#open({ descriptor, backend, layout }, (mapping, tables) => {
      if (!tryLockBytes(fd, OWNER_SLOT)) throw new SystemError("SYSTEM", "Cannot make a region: its lock is taken");
      tables.use(OWNER_SLOT, processIdentity(), fd);
      new Uint8Array(ffi.view(mapping.pointer, layout.dataOffset)).set(encodeHeader(layout));
      return { slot: OWNER_SLOT, name: publishFile(backend, fd, layout) };
    });
  }

  /** Takes part in the region of a name. @throws {NativeError} as `openFile`; REGION_FULL */
  static join(name: string): Region {
    const file = openFile(name);
    return Region.#open(file, (_, tables) => ({ slot: takeSlot(name, file, tables), name }));
  }

  /** Takes part in the region of a memfd that was passed here. @throws {NativeError} as `openPassed`; REGION_FULL */
  static joinPassed(fd: number): Region {
    const file = openPassed(fd);
    return Region.#open(file, (_, tables) => {
      const { identity, fd } = tables.participant(OWNER_SLOT), name = memfdName(identity, fd, file.layout.id);
      return { slot: takeSlot(name, file, tables), name };
    });
  }

  static #open(
    file: RegionFile,
    take: (mapping: SharedMapping, tables: RegionTables) => { readonly slot: number; readonly name: string },
  ): Region {
    let mapping: SharedMapping | undefined;
    try {
      const { fd } = file.descriptor, { byteLength, dataOffset } = file.layout;
      reserveBytes(fd, dataOffset); // a file from elsewhere may have holes, where a look ends the process
      mapping = new SharedMapping(fd, 0, byteLength, "shared");
      const tables = new RegionTables(file.layout, ffi.view(mapping.pointer, dataOffset));
      const { slot, name } = take(mapping, tables);
      return new Region(file, name, mapping, tables, slot);
    } catch (error) {
      mapping?.close();
      file.descriptor[Symbol.dispose]();
      if (!(error instanceof SystemFailure)) throw error;
      throw new SystemError("SYSTEM", `Cannot make or open a region: ${error.message}`, { cause: error });
    }
  }

  /** Whether this thread has closed it. */
  get closed(): boolean {
    return this.#closed;
  }

  /** How many blocks, and users of the whole, this thread holds. */
  get held(): number {
    return this.#held;
  }

  /** Whether this thread holds a block, by its own count: what a peer writes into the tables is not asked. */
  holds(index: number): boolean {
    return this.#holds[index]! > 0;
  }

  /** Makes a block, which this thread then holds once. Returns its generation. For the owner. */
  make(index: number, byteOffset: number, byteLength: number): number {
    this.#holds[index] = 1;
    this.#held++;
    return this.tables.make(index, byteOffset, byteLength, this.#bit);
  }

  /**
   * Holds a block for this thread, and returns its entry.
   *
   * @throws {ReferenceError} STALE_REFERENCE when it was freed, or made again since
   */
  hold(index: number, generation: number): BlockEntry {
    if (!this.tables.hold(index, this.#bit)) throw stale(this.name, "it was freed");
    if (this.#holds[index]!++ === 0) this.#held++;
    const entry = this.tables.entry(index);
    if (entry.generation === generation) return entry;
    this.release(index);
    throw stale(this.name, "its memory is in other use by now");
  }

  /** Ends one hold of a block. The last of all holders frees it, at once. */
  release(index: number): void {
    if (--this.#holds[index]! > 0) return;
    this.#held--;
    if (this.tables.release(index, this.#bit)) this.#free(index);
    this.#closeIfDone();
  }

  /** Holds the whole region for this thread. */
  retain(): void {
    this.#held++;
  }

  /** Ends one {@linkcode Region.retain}. */
  letGo(): void {
    this.#held--;
    this.#closeIfDone();
  }

  /**
   * Takes back what the dead held; leaves a region that nobody makes blocks in any more.
   *
   * @param thoroughly whether also where a living owner will do so
   */
  tend(thoroughly: boolean): Reclaimed {
    const isAlone = !this.isOwner && isAbandoned(this);
    if (!this.isOwner && !isAlone && !thoroughly) return NOTHING;
    const reclaimed = reclaimBlocks(this, this.#slot, isAlone, (index) => this.#free(index));
    this.#closeIfDone();
    return reclaimed;
  }

  #free(index: number): void {
    if (this.holds(index)) return; // a peer took this thread's bit away
    if (this.onFree) this.onFree(index);
    else freeBlock(this, index);
  }

  /** A thread that made no blocks here, and holds none, stays for the next reference: unless there can be none. */
  #closeIfDone(): void {
    if (this.#held > 0) return;
    if (this.isOwner ? this.#retired && !this.#waitsForTransit() : this.#isDone()) this.close();
  }

  #isDone(): boolean {
    return this.layout.blockCapacity === 0 || isAbandoned(this);
  }

  /** A memfd can be opened through its owner only. */
  #waitsForTransit(): boolean {
    return this.backend === "memfd" && isAnySent(this.tables);
  }

  /** For the owner: makes no more blocks. What others hold stays until they let it go. */
  retire(): void {
    this.onFree = undefined;
    this.#retired = true;
    this.tables.close();
    const stays = this.#held > 0 || isLockedElsewhere(this.fd, 0, SLOTS) || isAnySent(this.tables);
    if (stays) punchUnheld(this); // who keeps its file may hold little of it
    this.#closeIfDone();
  }

  /** Says that this thread takes part no more, and what it does not hold by itself goes. Nothing is unmapped. */
  leave(): void {
    if (this.isOwner) this.tables.close();
    for (const [index, count] of this.#holds.entries()) {
      if (count > 0 && this.tables.release(index, this.#bit)) freeBlock(this, index);
    }
    this.tables.leave(this.#slot);
    unlockBytes(this.fd, this.#slot);
    if (this.backend === "named") unlinkIfUnused(this.name, this);
  }

  /** Takes part no more. This thread may hold nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.leave();
    this.tables.detach();
    this.mapping.close();
    this.#descriptor[Symbol.dispose]();
    countHandle("region", -1);
    this.onClose?.();
  }
}

function stale(name: string, why: string): ReferenceError {
  return staleError(`Cannot open a reference into region ${name}: ${why}`);
}
