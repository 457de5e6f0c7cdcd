import { MemoryError } from "../errors.ts";

/** How much memory somebody may hold, and holds. */
export class Quota {
  readonly maxBytes: number;
  /** What it is of, for messages. */
  readonly label: string;
  readonly #parent: Quota | undefined;
  #bytesInUse = 0;
  #blocks = 0;

  /** @param parent whose quota it is a part of */
  constructor(label: string, maxBytes: number, parent?: Quota) {
    this.label = label;
    this.maxBytes = maxBytes;
    this.#parent = parent;
  }

  get bytesInUse(): number {
    return this.#bytesInUse;
  }

  /** How many blocks these are. */
  get blocks(): number {
    return this.#blocks;
  }

  /** Whether so many bytes more may be held. */
  allows(byteLength: number): boolean {
    return this.#bytesInUse + byteLength <= this.maxBytes && (this.#parent?.allows(byteLength) ?? true);
  }

  /** @throws {MemoryError} MEMORY_BUDGET when so many bytes more may not be held */
  check(byteLength: number): void {
    if (this.allows(byteLength)) return;
    if (this.#bytesInUse + byteLength <= this.maxBytes) return this.#parent!.check(byteLength);
    const availableBytes = this.maxBytes - this.#bytesInUse;
    const message = `Cannot allocate ${byteLength} bytes of shared memory: ${availableBytes} of the ${this.maxBytes} ` +
      `that ${this.label} may hold are available`;
    throw new MemoryError("MEMORY_BUDGET", message, { neededBytes: byteLength, availableBytes });
  }

  /** Adds a block. */
  add(byteLength: number): void {
    this.#bytesInUse += byteLength;
    this.#blocks++;
    this.#parent?.add(byteLength);
  }

  /** Takes a block away. */
  remove(byteLength: number): void {
    this.#bytesInUse -= byteLength;
    this.#blocks--;
    this.#parent?.remove(byteLength);
  }
}
