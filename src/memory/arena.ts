import { FreeSpace } from "./free_space.ts";
import { HeldBlock } from "./holds.ts";
import type { Quota } from "./quota.ts";
import type { Region } from "./region.ts";
import type { Backend } from "./region_file.ts";
import { createRegion } from "./regions.ts";

/** One entry of the table for so many bytes of data, within limits. */
const BYTES_PER_BLOCK = 4096, FEWEST_BLOCKS = 1024, MOST_BLOCKS = 65536;

/** A region that this thread hands out in blocks. */
export class Arena {
  readonly region: Region;
  readonly #space: FreeSpace;
  /** Whose each block is. */
  readonly #quotas: (Quota | undefined)[] = [];
  #emptySince: number = performance.now();

  /** @throws {MemoryError} OUT_OF_MEMORY @throws {SystemError} SYSTEM */
  constructor(backend: Backend, dataByteLength: number) {
    const capacity = Arena.#capacity(dataByteLength);
    this.region = createRegion(backend, dataByteLength, capacity);
    const { layout } = this.region;
    this.#space = new FreeSpace(layout.dataOffset, layout.byteLength - layout.dataOffset, capacity);
    this.region.onFree = (index) => this.#freed(index);
  }

  static #capacity(dataByteLength: number): number {
    return Math.min(MOST_BLOCKS, Math.max(FEWEST_BLOCKS, Math.ceil(dataByteLength / BYTES_PER_BLOCK)));
  }

  /** Bytes of all of it. */
  get byteLength(): number {
    return this.region.layout.byteLength;
  }

  /** Bytes that are free. */
  get freeBytes(): number {
    return this.#space.freeBytes;
  }

  /** Bytes of its largest free piece. */
  get largestFreeBytes(): number {
    return this.#space.largestFreeBytes;
  }

  /** How many blocks anybody holds, as far as is known. */
  get blocks(): number {
    return this.#space.taken;
  }

  /** For how many ms it has been empty. */
  get emptyMs(): number {
    return this.#space.taken === 0 ? performance.now() - this.#emptySince : 0;
  }

  /** Hands out a block, held once by this thread; `undefined` where there is no room. */
  allocate(byteLength: number, quota: Quota): HeldBlock | undefined {
    if (this.region.tables.hasReturned) this.collectReturned();
    const index = this.#space.take(byteLength);
    if (index === undefined) return undefined;
    const byteOffset = this.#space.byteOffset(index), taken = this.#space.byteLength(index);
    this.#quotas[index] = quota;
    quota.add(taken);
    const generation = this.region.make(index, byteOffset, taken);
    return new HeldBlock(this.region, index, generation, byteOffset, byteLength);
  }

  /** Takes back what others let go. */
  collectReturned(): void {
    this.region.tables.takeReturned((index) => this.#takeBack(index));
  }

  /** Takes back whatever nobody holds, also where its last holder died before it could say so. */
  collectAll(): void {
    this.collectReturned();
    for (const index of this.#space.takenBlocks()) this.#takeBack(index);
  }

  /** Whether a block is of a quota. */
  isOf(index: number, quota: Quota): boolean {
    return this.#quotas[index] === quota;
  }

  /** Hands out no more. What others hold stays until they let it go. */
  retire(): void {
    this.region.retire();
  }

  #takeBack(index: number): void {
    if (!this.region.holds(index) && !this.region.tables.isHeld(index)) this.#freed(index);
  }

  /** Only what was taken is given back, whatever the tables say. */
  #freed(index: number): void {
    if (!this.#space.isTaken(index)) return;
    this.#quotas[index]?.remove(this.#space.byteLength(index));
    this.#quotas[index] = undefined;
    this.#space.give(index);
    if (this.#space.taken === 0) this.#emptySince = performance.now();
  }
}
