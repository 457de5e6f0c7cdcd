import type { Region } from "./region.ts";

/** A part of a region that this thread keeps. */
export interface Hold {
  readonly region: Region;
  /** From the start of the region. */
  readonly byteOffset: number;
  readonly byteLength: number;
  /** Lets it go. Called once. */
  release(): void;
}

/** A hold of one block, or of a part of it. */
export class HeldBlock implements Hold {
  readonly region: Region;
  readonly index: number;
  readonly generation: number;
  readonly byteOffset: number;
  readonly byteLength: number;

  constructor(region: Region, index: number, generation: number, byteOffset: number, byteLength: number) {
    this.region = region;
    this.index = index;
    this.generation = generation;
    this.byteOffset = byteOffset;
    this.byteLength = byteLength;
  }

  release(): void {
    this.region.release(this.index);
  }
}

/** A hold of all of a region's data. */
export class HeldRegion implements Hold {
  readonly region: Region;
  readonly byteOffset: number;
  readonly byteLength: number;

  constructor(region: Region) {
    this.region = region;
    this.byteOffset = region.layout.dataOffset;
    this.byteLength = region.layout.dataByteLength;
    region.retain();
  }

  release(): void {
    if (this.region.isOwner && this.region.layout.blockCapacity === 0) this.region.retire(); // not an arena's
    this.region.letGo();
  }
}
