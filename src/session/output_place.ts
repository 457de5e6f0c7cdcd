import { copyMemory } from "../../ffi/copy_memory.ts";
import { libc } from "../../ffi/libc.ts";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { NativeError } from "../errors.ts";
import { Handle } from "../handle.ts";
import { ort } from "../ort/environment.ts";
import { dtypeName } from "../ort/type_info.ts";
import { describeTensorValue, tensorData, tensorStrings, type TensorValueInfo } from "../ort/value.ts";
import type { NumericData, NumericDType } from "../tensor/dtype.ts";
import {
  type AddressedStorage,
  adoptedNativeStorage,
  arrayOf,
  dtypeOfOnnx,
  elementByteLength,
  heapFromNative,
  type HeapStorage,
} from "../tensor/internal.ts";
import { heapStorage, makeTensor, storageOf } from "../tensor/internal.ts";
import { SharedMemoryAllocator } from "../tensor/shared_memory_allocator.ts";
import type { StorageKind } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Extent } from "./expected_extents.ts";
import type { Frame } from "./frame.ts";
import { matchesShape, type Port } from "./port.ts";
import type { Stage } from "./stage.ts";

/** How one output of a run becomes a tensor when the run has succeeded. */
export interface OutputPlace {
  /** The tensor; `undefined` for an optional that holds none. Called once, after a run that succeeded. */
  collect(frame: Frame, position: number): Tensor | undefined;
}

/** A small output of a known shape: computed in a stage, and copied into the JavaScript heap. */
export class StagedPlace implements OutputPlace {
  readonly shape: readonly number[];
  readonly #dtype: NumericDType;
  readonly #stage: Stage;

  constructor(dtype: NumericDType, shape: readonly number[], stage: Stage) {
    this.shape = shape;
    this.#dtype = dtype;
    this.#stage = stage;
  }

  collect(): Tensor {
    return heapFromNative(this.#dtype, this.shape, this.#stage.data);
  }
}

/** A heap tensor that was given: computed in a stage, and copied into the tensor's array. */
export class StagedGivenPlace implements OutputPlace {
  readonly #stage: Stage;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  collect(frame: Frame, position: number): Tensor {
    const tensor = frame.targets[position]!;
    (storageOf(tensor) as HeapStorage).copyFrom(this.#stage.data);
    return tensor;
  }
}

/** A tensor whose own memory C writes. */
export const IN_PLACE: OutputPlace = { collect: (frame, position) => frame.targets[position] };

/** An output that onnxruntime allocates, because its shape is not known before the run, or it is wanted as it is. */
export class MadePlace implements OutputPlace {
  readonly #port: Port;
  readonly #index: number;
  readonly #storage: StorageKind;

  /** @param index which of the model's outputs it is */
  constructor(port: Port, index: number, storage: StorageKind) {
    this.#port = port;
    this.#index = index;
    this.#storage = storage;
  }

  collect(frame: Frame, position: number): Tensor | undefined {
    const value = ffi.pointer(frame.outputSlots[position]!)!, found = describeTensorValue(value);
    if (found === undefined) return undefined;
    const dtype = dtypeOfOnnx(found.elementType), { name } = this.#port;
    if (dtype === undefined) {
      const what = `a tensor of ${dtypeName(found.elementType)}`;
      throw new NativeError("UNSUPPORTED", `Cannot fetch output "${name}": ${this.#port.dtype} wanted, ${what} found`);
    }
    if (dtype === "string") return makeTensor(dtype, found.shape, heapStorage(tensorStrings(value, found.size)));
    const byteLength = found.size * elementByteLength(dtype);
    if (this.#port.info.kind === "tensor") this.#note(frame, { shape: found.shape, byteLength });
    if (this.#storage === "native") return adopt(frame, position, dtype, found);
    return this.#storage === "shared" ? share(frame, value, dtype, found) : copy(value, dtype, found);
  }

  #note(frame: Frame, extent: Extent): void {
    if (!matchesShape(this.#port, extent.shape)) this.#port.fixed = undefined; // the model is wrong: only onnxruntime knows
    else if (frame.core.onCpu) frame.expected.note(this.#index, extent);
  }
}

/** Hands onnxruntime's own memory over to a native tensor. */
function adopt(frame: Frame, position: number, dtype: NumericDType, { shape, size }: TensorValueInfo): Tensor {
  const value = ffi.pointer(frame.outputSlots[position]!)!, byteLength = size * elementByteLength(dtype);
  const pointer = (byteLength > 0 ? tensorData(value) : null) ?? value; // without elements nothing is ever read there
  frame.outputSlots[position] = 0n; // first: a thread that ends between the two leaks a value, and never releases it twice
  const handle = new Handle("value", value, { release: ffi.pointer(ort().address("ReleaseValue"))! });
  const release = (): void => ort().api.ReleaseValue(handle.take());
  return makeTensor(dtype, shape, adoptedNativeStorage(pointer, byteLength, release, () => void handle.take()));
}

/** Copies a numeric value into shared memory. */
function share(frame: Frame, value: Pointer, dtype: NumericDType, { shape, size }: TensorValueInfo): Tensor {
  const tensor = SharedMemoryAllocator.default.tensor(dtype, shape);
  frame.fresh.add(tensor);
  if (size > 0) copyMemory((storageOf(tensor) as AddressedStorage).pointer, tensorData(value)!, tensor.byteLength);
  return tensor;
}

/** Copies a numeric value into the JavaScript heap. */
function copy(value: Pointer, dtype: NumericDType, { shape, size }: TensorValueInfo): Tensor {
  const data: NumericData = new (arrayOf(dtype))(size);
  if (size > 0) libc().memcpy(data as Uint8Array<ArrayBuffer>, tensorData(value), BigInt(data.byteLength));
  return makeTensor(dtype, shape, heapStorage(data));
}
