import { copyFromArray, copyMemory } from "../../ffi/copy_memory.ts";
import type { NumericData } from "./dtype.ts";
import { AddressedStorage } from "./native_storage.ts";
import { Tensor } from "./tensor.ts";
import { storageOf } from "./tensor_base.ts";

/** Copies a tensor's elements to native memory that holds as many, in row-major order. @throws what `contiguous` and `data` throw */
export function copyElements(given: Tensor, to: AddressedStorage): void {
  const tensor = given.contiguous(), storage = storageOf(tensor);
  storage.check();
  if (storage instanceof AddressedStorage) copyMemory(to.pointer, storage.pointer, to.byteLength);
  else copyFromArray(to.pointer, storage.data(tensor.dtype) as NumericData);
}

/** A copy of a numeric tensor in native memory. @throws {MemoryError} OUT_OF_MEMORY @throws what {@linkcode copyElements} throws */
export function nativeCopy(tensor: Tensor): Tensor {
  const copy = Tensor.zeros(tensor.dtype, tensor.shape, { storage: "native" });
  copyElements(tensor, storageOf(copy) as AddressedStorage);
  return copy;
}
