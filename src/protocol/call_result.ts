import { emptyTensors, refuseOutput, type Tensors } from "../session/tensors.ts";
import { copyMemory } from "../../ffi/copy_memory.ts";
import { ffi } from "../../ffi/mod.ts";
import { rangeError } from "../errors.ts";
import { decodeTensor } from "../tensor/bytes.ts";
import {
  dtypeOfOnnx,
  elementByteLength,
  type NumericData,
  type NumericDType,
  STRING_ELEMENT_TYPE,
} from "../tensor/dtype.ts";
import {
  type AddressedStorage,
  heapFromNative,
  HeapStorage,
  heapStorage,
  makeTensor,
  storageOf,
} from "../tensor/internal.ts";
import { equalShapes } from "../tensor/shape.ts";
import { SharedMemoryAllocator } from "../tensor/shared_memory_allocator.ts";
import type { StorageKind } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { CallFrame } from "./call_frame.ts";
import type { CallOutput } from "./call_parts.ts";
import { PLACE, readAnswer, type TensorDescription } from "./description.ts";
import { violation } from "./frames.ts";

/** What a worker says of its outputs. @throws {WorkerError} WORKER_PROTOCOL for what it cannot have meant */
export function readOutputs(frame: CallFrame): readonly TensorDescription[] {
  return frame.describedOutputs(readDescription);
}

function readDescription(frame: CallFrame): readonly TensorDescription[] {
  let tensors: readonly TensorDescription[];
  try {
    tensors = readAnswer(frame.answer());
  } catch (cause) {
    throw violation(`an answer cannot be read: ${(cause as Error).message}`, { cause });
  }
  if (tensors.length !== frame.outputs.length) throw violation(`an answer of ${tensors.length} outputs`);
  return tensors;
}

/** Makes tensors of a request's outputs. @throws {WorkerError} WORKER_PROTOCOL @throws {RangeError} INVALID_SHAPE */
export function collectOutputs(
  frame: CallFrame,
  found: readonly TensorDescription[],
  storage: StorageKind,
): Tensors {
  const tensors = emptyTensors(frame.isGiven), { outputs } = frame;
  for (let i = 0; i < outputs.length; i++) {
    const output = outputs[i]!, tensor = collectOutput(frame, i, output, found[i]!, storage), { name } = output.port;
    if (tensor === undefined) refuseOutput(tensors, name, "nothing");
    else tensors[name] = tensor;
  }
  if (frame.outputs.length < frame.model.outputs.length) {
    for (const { name, info, fetchable } of frame.model.outputs) {
      if (!fetchable) refuseOutput(tensors, name, info.dtype);
    }
  }
  frame.fresh.clear();
  return tensors as unknown as Tensors;
}

function collectOutput(
  frame: CallFrame,
  position: number,
  output: CallOutput,
  { elementType, shape, place, byteLength }: TensorDescription,
  storage: StorageKind,
): Tensor | undefined {
  const { port, target, shared, index, capacity } = output;
  if (place === PLACE.none && byteLength === 0) return undefined;
  if (shared !== undefined) return target;
  const dtype = dtypeOfOnnx(elementType);
  if (dtype !== port.dtype || byteLength > capacity) throw violation(`an answer with another output "${port.name}"`);
  frame.model.noteSize(index, byteLength);
  if (elementType === STRING_ELEMENT_TYPE) {
    const { shape, data } = decodeTensor(frame.resultBytes(output, byteLength));
    return makeTensor("string", Object.freeze([...shape]), heapStorage(data));
  }
  let elements = 1;
  for (let axis = 0; axis < shape.length; axis++) elements *= shape[axis]!;
  if (elements * elementByteLength(port.dtype!) !== byteLength) throw violation(`output "${port.name}" of other bytes`);
  const data = frame.result(position, byteLength);
  if (target === undefined) return make(dtype as NumericDType, shape, data, storage);
  checkFilled(port.name, target, shape);
  copyInto(target, data);
  return target;
}

function make(dtype: NumericDType, shape: readonly number[], data: NumericData, storage: StorageKind): Tensor {
  if (storage === "heap") return heapFromNative(dtype, shape, data);
  const tensor = storage === "shared"
    ? SharedMemoryAllocator.default.tensor(dtype, shape)
    : Tensor.zeros(dtype, shape, { storage: "native" });
  copyInto(tensor, data);
  return tensor;
}

/** An output that came as bytes, where it is wanted. Takes the tensor over. */
export function placeOutput(found: Tensor, storage: StorageKind): Tensor {
  if (storage === "heap" || found.dtype === "string") return found;
  return make(found.dtype, found.shape, found.data as NumericData, storage);
}

/** Brings an output that came as bytes into the tensor that was given for it. @throws {RangeError} INVALID_SHAPE */
export function fillOutput(name: string, target: Tensor, found: Tensor): Tensor {
  checkFilled(name, target, found.shape);
  copyInto(target, found.data as NumericData);
  return target;
}

/** Refuses an output of another shape than the tensor's that was given for it. @throws {RangeError} INVALID_SHAPE */
export function checkFilled(name: string, target: Tensor, shape: readonly number[]): void {
  if (equalShapes(target.shape, shape)) return;
  const message = `Cannot write output "${name}": shape [${shape.join(", ")}] wanted, [${
    target.shape.join(", ")
  }] found`;
  throw rangeError("INVALID_SHAPE", message);
}

function copyInto(tensor: Tensor, data: NumericData): void {
  const storage = storageOf(tensor);
  if (data.byteLength === 0) return;
  if (storage instanceof HeapStorage) storage.copyFrom(data);
  else copyMemory((storage as AddressedStorage).pointer, ffi.of(data), data.byteLength);
}
