import { functionPointer, libc } from "./libc.ts";
import { ffi, type Pointer } from "./mod.ts";
import { LEDGER, note, strike } from "./process/ledger.ts";
import { callNative } from "./process/calls.ts";
import { ensureThreads, poolProblem } from "./process/pool.ts";
import { offset, PROT, vacatingArguments } from "./native_memory.ts";
import { SystemFailure } from "./system_failure.ts";

const MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_NORESERVE = 0x4000;
const MAP_FAILED = 2n ** 63n;
/** From here on giving pages back takes milliseconds, which an event loop should not spend. */
const APART_FROM = 256 << 20;

let mmap: bigint | undefined;
const mmapAddress = (): bigint => mmap ??= ffi.address(functionPointer("mmap"));

/** How a part of a file is mapped: `shared` writes reach the file, `private` ones stay here. */
export type Sharing = "shared" | "private";

/**
 * A part of a file in this thread's address space. When the thread ends without having closed it, it becomes zeros, and
 * its addresses stay taken: a buffer that was transferred to another thread may still lead there.
 */
export class SharedMapping {
  readonly address: bigint;
  readonly byteLength: number;
  readonly pointer: Pointer;
  readonly #note: number;
  #buffers = 0;
  #vacated: Promise<unknown> | boolean = false;
  #closed = false;

  /** @param byteOffset a multiple of the page size @throws {SystemFailure} */
  constructor(fd: number, byteOffset: number, byteLength: number, sharing: Sharing) {
    const protection = PROT.READ | PROT.WRITE, flags = sharing === "shared" ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE;
    const pointer = libc().mmap(null, BigInt(byteLength), protection, flags, fd, BigInt(byteOffset));
    const address = ffi.address(pointer);
    if (pointer === null || address >= MAP_FAILED) throw new SystemFailure(`map ${byteLength} bytes`);
    this.pointer = pointer;
    this.address = address;
    this.byteLength = byteLength;
    this.#note = note(mmapAddress(), address, BigInt(byteLength), LEDGER.vacate);
  }

  /** The pointer some bytes into it. */
  at(byteOffset: number): Pointer {
    return offset(this, byteOffset);
  }

  /** Keeps the addresses taken until these buffers, which are detached, were collected: the system may be using them. */
  outlive(buffers: readonly ArrayBuffer[]): void {
    this.#buffers += buffers.length;
    for (const buffer of buffers) SharedMapping.#registry.register(buffer, this);
  }

  /** Lets the file go: whoever still reaches the memory finds zeros. */
  vacate(): void {
    if (this.#vacated !== false) return;
    if (this.byteLength < APART_FROM || poolProblem() !== undefined) return this.#vacateHere();
    ensureThreads("release", 1);
    const args = vacatingArguments(this.address, BigInt(this.byteLength));
    SharedMapping.#vacating.add(this);
    this.#vacated = callNative("release", mmapAddress(), args).catch(() => this.#vacateHere()).finally(() => {
      SharedMapping.#vacating.delete(this);
    });
  }

  /** Vacates on this thread whatever another one is still about to, for who needs the memory now. Whether there was any. */
  static vacateAll(): boolean {
    for (const mapping of SharedMapping.#vacating) mapping.#vacateHere(); // once more by the other thread is harmless
    return SharedMapping.#vacating.size > 0;
  }

  #vacateHere(): void {
    const [, length, protection, flags] = vacatingArguments(this.address, BigInt(this.byteLength));
    libc().mmap(this.pointer, length!, Number(protection), Number(flags), -1, 0n);
    if (this.#vacated === false) this.#vacated = true;
  }

  /** Vacates it, and gives its addresses back as soon as no buffer can lead there. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.vacate();
    if (this.#buffers === 0) this.#unmap();
  }

  #unmap(): void {
    strike(this.#note);
    const unmap = (): void => void libc().munmap(this.pointer, BigInt(this.byteLength));
    if (typeof this.#vacated === "object") void this.#vacated.then(unmap);
    else unmap();
  }

  #collected(): void {
    if (--this.#buffers === 0 && this.#closed) this.#unmap();
  }

  static readonly #vacating = new Set<SharedMapping>();
  static readonly #registry = new FinalizationRegistry<SharedMapping>((mapping) => mapping.#collected());
}
