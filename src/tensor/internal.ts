/**
 * What the layers above may do with a tensor, and users may not.
 *
 * @module
 */
import { typeError } from "../errors.ts";
import type { DType, NumericData, NumericDType } from "./dtype.ts";
import { copiedHeapStorage } from "./heap_storage.ts";
import { makeTensor, type Tensor } from "./tensor.ts";
import { isRowMajor } from "./shape.ts";
import { shapeOf, storageOf, stridesOf } from "./tensor_base.ts";

export { arrayOf, dtypeOfOnnx, elementByteLength } from "./dtype.ts";
export { checkForeign, foreignStorage, layoutOf } from "./foreign_layout.ts";
export type { DType } from "./dtype.ts";
export type { Storage, StorageKind } from "./storage.ts";
export { HeapStorage, heapStorage } from "./heap_storage.ts";
export { AddressedStorage, adoptedNativeStorage } from "./native_storage.ts";
export { isViewOf, sharesMemory } from "./shared_storage.ts";
export { lendManagedTensor, lendTensor, type LentTensor, returns } from "./lending.ts";
export { adoptManagedTensor } from "./managed_tensor.ts";
export { isTensor, makeTensor } from "./tensor.ts";
export { shapeOf, storageOf, stridesOf } from "./tensor_base.ts";

/** Whether a tensor's elements lie one after another, in the order of its shape: as C takes them. */
export function isRowMajorTensor(tensor: Tensor): boolean {
  const strides = stridesOf(tensor);
  return strides === undefined || isRowMajor(shapeOf(tensor), strides);
}

/** Keeps the tensor's memory while C reads it. @throws {ReferenceError} DISPOSED @throws {TypeError} TENSOR_BUSY while a write pin is on it */
export function pinRead(tensor: Tensor): void {
  storageOf(tensor).pinRead();
}

/** Keeps the tensor's memory while C writes it. @throws {ReferenceError} DISPOSED @throws {TypeError} READ_ONLY; TENSOR_BUSY while any pin is on it */
export function pinWrite(tensor: Tensor): void {
  if (tensor.readOnly) throw typeError("READ_ONLY", "Cannot write tensor: it is read-only");
  storageOf(tensor).pinWrite();
}

/** Ends one {@linkcode pinRead}. */
export function unpinRead(tensor: Tensor): void {
  storageOf(tensor).unpinRead();
}

/** Ends a {@linkcode pinWrite}. */
export function unpinWrite(tensor: Tensor): void {
  storageOf(tensor).unpinWrite();
}

/** A heap tensor with a copy of `source`, which must be an array of the dtype's own type, such as a view of native memory. */
export function heapFromNative<D extends NumericDType & DType>(
  dtype: D,
  shape: readonly number[],
  source: NumericData,
): Tensor<D> {
  return makeTensor(dtype, shape, copiedHeapStorage(dtype, source));
}
