import { ffi } from "../../ffi/mod.ts";
import { Handle } from "../handle.ts";
import { ort } from "../ort/environment.ts";
import { createTensorValue } from "../ort/value.ts";
import { onnxElementType } from "../tensor/dtype.ts";
import type { AddressedStorage } from "../tensor/native_storage.ts";
import type { Storage } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** An OrtValue over a tensor's native memory, released with that memory. */
class TensorValue implements Disposable {
  readonly shape: readonly number[];
  readonly handle: Handle;

  constructor(tensor: Tensor, storage: AddressedStorage) {
    this.shape = tensor.shape;
    const value = createTensorValue(storage.pointer, storage.byteLength, tensor.shape, onnxElementType(tensor.dtype));
    this.handle = new Handle("value", value, { release: ffi.pointer(ort().address("ReleaseValue"))! });
  }

  [Symbol.dispose](): void {
    const value = this.handle.take();
    if (value) ort().api.ReleaseValue(value);
  }
}

/** The OrtValue over a native or shared tensor, made at its first use. */
export function valueOf(tensor: Tensor, storage: Storage): Handle {
  const found = storage.attachment;
  if (found instanceof TensorValue && found.shape === tensor.shape) return found.handle;
  found?.[Symbol.dispose]();
  const value = new TensorValue(tensor, storage as AddressedStorage);
  storage.attachment = value;
  return value.handle;
}
