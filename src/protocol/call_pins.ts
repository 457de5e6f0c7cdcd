import { typeError } from "../errors.ts";
import { sharesMemory, type Storage, storageOf } from "../tensor/internal.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What a request uses of its giver's tensors until it is over: feeds are read, given outputs are written. */
export class CallPins {
  readonly #reading: Storage[] = [];
  readonly #writing: Storage[] = [];

  /** Keeps a feed while the request is in flight; the memory of heap tensors is copied at the call. @throws {TypeError} TENSOR_BUSY */
  read(storage: Storage): void {
    if (storage.kind === "heap") return;
    storage.pinRead();
    this.#reading.push(storage);
  }

  /** Keeps what an output is written into. @throws {TypeError} TENSOR_BUSY also where the request uses its memory otherwise */
  write(name: string, target: Tensor): void {
    const storage = storageOf(target);
    if (storage.kind === "heap") {
      storage.checkWritable();
      return storage.check();
    }
    storage.pinWrite();
    this.#writing.push(storage);
    if (![...this.#reading, ...this.#writing].some((other) => sharesMemory(storage, other))) return;
    throw typeError("TENSOR_BUSY", `Cannot write output "${name}": the run uses its memory as another tensor`);
  }

  /** Lets go of them. */
  release(): void {
    while (this.#reading.length > 0) this.#reading.pop()!.unpinRead();
    while (this.#writing.length > 0) this.#writing.pop()!.unpinWrite();
  }
}
