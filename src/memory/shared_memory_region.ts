import { reopenDescriptor } from "../../ffi/descriptors.ts";
import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { disposedError, rangeError, SystemError } from "../errors.ts";
import { HeldMemory, ReadOnlyMemory } from "./held_memory.ts";
import { HeldRegion } from "./holds.ts";
import { NativeBlock } from "./native_block.ts";
import type { Region } from "./region.ts";
import { checkBackend } from "./region_file.ts";
import { createRegion, joinPassedRegion, joinRegion } from "./regions.ts";

/** How a region is made. */
export interface RegionOptions {
  /** `"named"` or `"memfd"`, as `AllocatorOptions` explains. Default: `"named"`, also where that fails. */
  backend?: "named" | "memfd";
}

/** How a region is opened. */
export interface OpenRegionOptions {
  /** Whether to see what others write, while a write here touches nobody's memory. Default: `false`. */
  readOnly?: boolean;
}

/**
 * Bytes that several processes see, for those who do without tensors. It stays until the last who has it open disposes
 * of it, or dies.
 *
 * @example
 * ```ts
 * import { SharedMemoryRegion } from "@coload/onnx";
 *
 * using region = SharedMemoryRegion.create(1 << 20);
 * using same = SharedMemoryRegion.open(region.name); // in any process of this user
 * region.bytes[0] = 7;
 * console.log(same.bytes[0], same.owner); // 7 false
 * ```
 */
export class SharedMemoryRegion implements Disposable {
  /** What others open it by. */
  readonly name: string;
  /** How many bytes it has. */
  readonly byteLength: number;
  /** Whether this object made it. */
  readonly owner: boolean;
  /** Whether what is written here stays here: nobody else sees it. */
  readonly readOnly: boolean;
  readonly #region: Region;
  readonly #block: NativeBlock;
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  #descriptor: OwnedDescriptor | undefined;
  #disposed = false;

  private constructor(region: Region, owner: boolean, readOnly: boolean) {
    const hold = new HeldRegion(region);
    this.name = region.name;
    this.byteLength = hold.byteLength;
    this.owner = owner;
    this.readOnly = readOnly;
    this.#region = region;
    this.#block = new NativeBlock(readOnly ? new ReadOnlyMemory(hold) : new HeldMemory(hold));
    dropped.register(this, this.#block, this);
  }

  /**
   * Makes a region of zeros, all of whose memory is there.
   *
   * @throws {RangeError} OUT_OF_RANGE
   * @throws {MemoryError} OUT_OF_MEMORY where there is no room for it
   * @throws {SystemError} SYSTEM where the backend is missing or refused
   */
  static create(byteLength: number, options: RegionOptions = {}): SharedMemoryRegion {
    if (!Number.isSafeInteger(byteLength) || byteLength < 1) {
      throw rangeError(
        "OUT_OF_RANGE",
        `Cannot make a region: a whole number of bytes from 1 up wanted, ${byteLength} found`,
      );
    }
    const backend = options?.backend ?? "named";
    checkBackend(backend);
    return new SharedMemoryRegion(createRegion(backend, byteLength), true, false);
  }

  /**
   * Opens another process's region, or one of this process's own.
   *
   * @throws {TypeError} INVALID_REFERENCE for what is no region's name
   * @throws {NativeError} REGION_NOT_FOUND; REGION_FORBIDDEN when another user may have a hand in it, or it is a symlink
   * or directory; REGION_INVALID; REGION_FULL beyond 62 threads; REGION_UNREACHABLE in another pid namespace; SYSTEM
   */
  static open(name: string, options: OpenRegionOptions = {}): SharedMemoryRegion {
    return new SharedMemoryRegion(joinRegion(name), false, options?.readOnly ?? false);
  }

  /**
   * Opens a memfd region by a descriptor that was passed to this process, which stays the caller's to close. References
   * to tensors in it can then be opened as well. Whoever passes it is trusted to say by it which region it is.
   *
   * @throws {NativeError} REGION_FORBIDDEN unless its size is sealed; and as {@linkcode SharedMemoryRegion.open}
   */
  static openDescriptor(descriptor: number, options: OpenRegionOptions = {}): SharedMemoryRegion {
    return new SharedMemoryRegion(joinPassedRegion(descriptor), false, options?.readOnly ?? false);
  }

  /**
   * A descriptor of its file, to be passed to another process: a memfd's, as a named region is opened by its name. It
   * is closed with the region. For an allocator's arena: `SharedMemoryRegion.open(tensor.ref.region).descriptor`.
   *
   * @throws {ReferenceError} DISPOSED
   * @throws {SystemError} SYSTEM
   */
  get descriptor(): number {
    if (this.#disposed) throw disposedError("region");
    try {
      this.#descriptor ??= new OwnedDescriptor(reopenDescriptor(this.#region.fd)); // its own would pass its lock on too
      this.#block.attachment = this.#descriptor;
      return this.#descriptor.fd;
    } catch (cause) {
      throw new SystemError("SYSTEM", `Cannot pass region ${this.name} on: ${(cause as Error).message}`, { cause });
    }
  }

  /**
   * All of it as one array, the same at every call; dispose empties an array that was taken before.
   *
   * @throws {ReferenceError} DISPOSED
   * @throws {RangeError} OUT_OF_RANGE where it is larger than a buffer of the runtime: 4 GiB on Bun
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    if (this.#disposed) throw disposedError("region");
    try {
      return this.#bytes ??= new Uint8Array(this.#block.whole());
    } catch (cause) {
      const message = `Cannot view region as one array: its ${this.byteLength} bytes are more than a buffer holds here`;
      throw rangeError("OUT_OF_RANGE", message, { cause });
    }
  }

  /** Whether it was disposed. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Empties every view of it, and lets it go. The last to do so removes it. Twice is harmless. */
  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    dropped.unregister(this);
    this.#block.dispose();
  }
}

const dropped = new FinalizationRegistry<NativeBlock>((block) => block.drop());
