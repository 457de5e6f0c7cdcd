import type { Pointer } from "../../ffi/mod.ts";
import { SharedMapping } from "../../ffi/shared_mapping.ts";
import { SystemError } from "../errors.ts";
import { countHandle } from "../handle.ts";
import type { HeldBlock } from "./arena.ts";
import type { NativeOwner } from "./native_block.ts";
import { PAGE } from "./region_layout.ts";

/** A part of a shared region that this thread holds: what is written here, all others see. */
export class HeldMemory implements NativeOwner {
  readonly block: HeldBlock;
  #pointer: Pointer | undefined;

  constructor(block: HeldBlock) {
    this.block = block;
    countHandle("tensor", 1);
  }

  get pointer(): Pointer {
    return this.#pointer ??= this.block.region.mapping.at(this.block.byteOffset);
  }

  get byteLength(): number {
    return this.block.byteLength;
  }

  vacate(buffers: readonly ArrayBuffer[]): boolean {
    this.block.region.mapping.outlive(buffers);
    return false;
  }

  release(): void {
    countHandle("tensor", -1);
    this.block.region.release(this.block.index);
  }

  /** The memory is never used for anything else, as long as this thread lives. */
  abandon(): void {
    countHandle("tensor", -1);
    countHandle("abandoned tensor", 1);
  }
}

/**
 * The same for reading only: others' writes are seen here, and a write here goes into pages of this tensor's own, which
 * vanish with it. So nobody is hurt by it, and nothing crashes.
 */
export class ReadOnlyMemory implements NativeOwner {
  readonly block: HeldBlock;
  #mapping: SharedMapping | undefined;
  #holds = true;

  constructor(block: HeldBlock) {
    this.block = block;
    countHandle("tensor", 1);
  }

  get pointer(): Pointer {
    const { region, byteOffset, byteLength } = this.block, start = Math.floor(byteOffset / PAGE) * PAGE;
    try {
      this.#mapping ??= new SharedMapping(region.fd, start, byteOffset - start + Math.max(1, byteLength), "private");
    } catch (cause) {
      throw new SystemError("SYSTEM", `Cannot view a read-only tensor: ${(cause as Error).message}`, { cause });
    }
    return this.#mapping.at(byteOffset - start);
  }

  get byteLength(): number {
    return this.block.byteLength;
  }

  vacate(): boolean {
    this.#mapping?.vacate();
    this.#letGo();
    return true;
  }

  release(): void {
    this.#mapping?.close();
    this.#letGo();
  }

  abandon(): void {
    countHandle("abandoned tensor", 1);
    this.#mapping?.vacate();
    this.#letGo();
  }

  #letGo(): void {
    if (!this.#holds) return;
    this.#holds = false;
    countHandle("tensor", -1);
    this.block.region.release(this.block.index);
  }
}
