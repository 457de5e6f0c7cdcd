import { createMemoryDescriptor, sealSize, setLength } from "../../ffi/descriptors.ts";
import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { OwnedMemory } from "../../ffi/owned_memory.ts";
import { SharedMapping } from "../../ffi/shared_mapping.ts";

/** Memory that is passed to clients as a file of fixed size, or is this process's alone where it cannot be. */
export class SharedPages implements Disposable {
  readonly address: bigint;
  /** The memory's file; `undefined` where it has none. */
  readonly fd: number | undefined;
  readonly #parts: readonly Disposable[];

  private constructor(address: bigint, fd: number | undefined, parts: readonly Disposable[]) {
    this.address = address;
    this.fd = fd;
    this.#parts = parts;
  }

  /** Memory that others can map. It takes none before it is touched. @throws {SystemFailure} where there is no memfd */
  static shared(name: string, byteLength: number): SharedPages {
    const descriptor = new OwnedDescriptor(createMemoryDescriptor(name));
    try {
      setLength(descriptor.fd, byteLength);
      sealSize(descriptor.fd);
      const mapping = new SharedMapping(descriptor.fd, 0, byteLength, "shared");
      return new SharedPages(mapping.address, descriptor.fd, [{ [Symbol.dispose]: () => mapping.close() }, descriptor]);
    } catch (error) {
      descriptor[Symbol.dispose]();
      throw error;
    }
  }

  /** Memory of this process. @throws {SystemFailure} */
  static own(byteLength: number): SharedPages {
    const memory = new OwnedMemory(byteLength);
    return new SharedPages(memory.address, undefined, [memory]);
  }

  /** Nobody may use the memory any more. */
  [Symbol.dispose](): void {
    for (const part of this.#parts) part[Symbol.dispose]();
  }
}
