import type { Pointer } from "../../ffi/mod.ts";
import { SharedMapping } from "../../ffi/shared_mapping.ts";
import { SystemError } from "../errors.ts";
import { countHandle, countOf } from "../handle.ts";
import type { Hold } from "./holds.ts";
import type { NativeOwner } from "./native_block.ts";

const tensors = countOf("tensor");

/** A part of a shared region that this thread holds: what is written here, all others see. */
export class HeldMemory implements NativeOwner {
  readonly hold: Hold;
  #pointer: Pointer | undefined;

  constructor(hold: Hold) {
    this.hold = hold;
    tensors.value++;
  }

  get base(): Pointer {
    return this.hold.region.mapping.pointer;
  }

  get byteOffset(): number {
    return this.hold.byteOffset;
  }

  get pointer(): Pointer {
    return this.#pointer ??= this.hold.region.mapping.at(this.hold.byteOffset);
  }

  get byteLength(): number {
    return this.hold.byteLength;
  }

  /** The addresses are the region's, which stays mapped: only those buffers must be outlived. */
  vacate(buffers: readonly ArrayBuffer[]): boolean {
    this.hold.region.mapping.outlive(buffers);
    return false;
  }

  release(): void {
    tensors.value--;
    this.hold.release();
  }

  /** The memory is never used for anything else, as long as this thread lives. */
  abandon(): void {
    tensors.value--;
    countHandle("abandoned tensor", 1);
  }
}

/** Mappings start at pages of the machine, which are of 4, 16 or 64 KiB. */
const LARGEST_PAGE = 65536;

/**
 * The same for reading only: others' writes are seen here, and a write here goes into pages of this tensor's own, which
 * vanish with it. So nobody is hurt by it, and nothing crashes.
 */
export class ReadOnlyMemory implements NativeOwner {
  readonly hold: Hold;
  #mapping: SharedMapping | undefined;
  #holds = true;

  constructor(hold: Hold) {
    this.hold = hold;
    tensors.value++;
  }

  get base(): Pointer {
    return this.pointer;
  }

  get byteOffset(): number {
    return 0;
  }

  get pointer(): Pointer {
    const { region, byteOffset, byteLength } = this.hold, start = Math.floor(byteOffset / LARGEST_PAGE) * LARGEST_PAGE;
    try {
      this.#mapping ??= new SharedMapping(region.fd, start, byteOffset - start + Math.max(1, byteLength), "private");
    } catch (cause) {
      throw new SystemError("SYSTEM", `Cannot view a read-only tensor: ${(cause as Error).message}`, { cause });
    }
    return this.#mapping.at(byteOffset - start);
  }

  get byteLength(): number {
    return this.hold.byteLength;
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
    tensors.value--;
    this.hold.release();
  }
}
