import { ffi } from "../../ffi/mod.ts";
import { disposedError, rangeError, typeError } from "../errors.ts";
import { createTensorValue } from "../ort/value.ts";
import type { NumericData, NumericDType } from "../tensor/dtype.ts";
import {
  type AddressedStorage,
  arrayOf,
  elementByteLength,
  heapStorage,
  isRowMajorTensor,
  isViewOf,
  makeTensor,
  shapeOf,
  sharesMemory,
  type Storage,
  type StorageKind,
  storageOf,
} from "../tensor/internal.ts";
import { SharedMemoryAllocator } from "../tensor/shared_memory_allocator.ts";
import { equalShapes } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Extent } from "./expected_extents.ts";
import { LEND_FROM } from "./feed.ts";
import type { Frame } from "./frame.ts";
import { IN_PLACE, type OutputPlace, StagedGivenPlace, StagedPlace } from "./output_place.ts";
import { matchesShape, type Port } from "./port.ts";
import { Stage } from "./stage.ts";
import { valueOf } from "./tensor_value.ts";

function stageOf(frame: Frame, index: number, port: Port, byteLength: number): Stage {
  return frame.outputStages[index] ??= new Stage(port.dtype as NumericDType, byteLength);
}

/**
 * Decides where an output goes, and puts its value at a position of the run. A given tensor is checked, and pinned if C
 * writes its memory.
 */
export function placeOutput(
  frame: Frame,
  position: number,
  index: number,
  target: Tensor | undefined,
  storage: StorageKind,
): OutputPlace {
  const port = frame.core.outputs[index]!;
  if (target !== undefined) return placeGiven(frame, position, index, port, target);
  const extent = storage === "native" ? undefined : port.fixed ?? frame.expected.of(index);
  if (extent !== undefined && storage === "shared") return placeShared(frame, position, port, extent);
  if (extent === undefined || (frame.asynchronous && (port.fixed === undefined || extent.byteLength > LEND_FROM))) {
    frame.putOutput(position, undefined);
    return frame.core.madePlace(index, storage);
  }
  if (extent.byteLength > LEND_FROM) return placeFresh(frame, position, port, extent);
  const stage = stageOf(frame, index, port, extent.byteLength), place = frame.stagedPlaces[index];
  frame.putOutput(position, stage.fit(extent.shape, extent.byteLength));
  if (place?.shape === extent.shape) return place;
  return frame.stagedPlaces[index] = new StagedPlace(port.dtype as NumericDType, extent.shape, stage);
}

/** A new array that nobody else can reach, lent to a synchronous run. */
function placeFresh(frame: Frame, position: number, port: Port, { shape, byteLength }: Extent): OutputPlace {
  const dtype = port.dtype as NumericDType;
  const data: NumericData = new (arrayOf(dtype))(byteLength / elementByteLength(dtype));
  const value = createTensorValue(ffi.of(data), byteLength, shape, port.elementType);
  frame.putOutput(position, frame.addTransient(value));
  frame.targets[position] = makeTensor(dtype, shape, heapStorage(data));
  return IN_PLACE;
}

/** New shared memory, which C writes: also where the shape is only expected, as a copy would cost more than the risk. */
function placeShared(frame: Frame, position: number, port: Port, { shape }: Extent): OutputPlace {
  const tensor = SharedMemoryAllocator.default.tensor(port.dtype as NumericDType, shape);
  const storage = storageOf(tensor);
  frame.fresh.add(tensor);
  frame.targets[position] = tensor;
  frame.putOutput(position, valueOf(tensor, storage));
  storage.pinWrite(); // its allocator may be disposed of while C writes
  frame.writing.push(storage);
  return IN_PLACE;
}

/** Refuses a tensor that an output cannot be written into. */
export function checkTarget(port: Port, target: Tensor, storage: Storage, asynchronous: boolean): void {
  const cannot = (why: string): string => `Cannot write output "${port.name}"${why}`;
  if (target.dtype !== port.dtype) {
    throw typeError("INVALID_DTYPE", cannot(`: ${port.dtype} wanted, ${target.dtype} found`));
  }
  if (target.dtype === "string") throw typeError("UNSUPPORTED", cannot(" into a given tensor: strings come out new"));
  if (!isRowMajorTensor(target)) {
    throw typeError(
      "INVALID_LAYOUT",
      cannot(`: row-major elements wanted, strides [${target.strides.join(", ")}] found`),
    );
  }
  if (target.readOnly) throw typeError("READ_ONLY", cannot(": the given tensor is read-only"));
  if (storage.disposed) throw disposedError("tensor");
  storage.check();
  if (storage.kind === "heap" && asynchronous) {
    throw typeError(
      "UNSUPPORTED",
      cannot(" of an asynchronous run: a native or shared tensor wanted, a heap tensor found"),
    );
  }
}

/** Refuses a tensor of another shape than an output's. @throws {RangeError} INVALID_SHAPE */
export function checkTargetShape(port: Port, shape: readonly number[]): void {
  if (matchesShape(port, shape)) return;
  const wanted = `[${port.info.shape.join(", ")}]`, found = `[${shape.join(", ")}]`;
  throw rangeError("INVALID_SHAPE", `Cannot write output "${port.name}": shape ${wanted} wanted, ${found} found`);
}

/** Whether C reads, or is to write, some of an array's memory as that of a heap tensor. */
function isLent({ lent }: Frame, { buffer, byteOffset, byteLength }: NumericData): boolean {
  return lent.some((other) =>
    other.buffer === buffer && other.byteOffset < byteOffset + byteLength &&
    byteOffset < other.byteOffset + other.byteLength
  );
}

/** Whether an array is over a native tensor's memory. */
function liesIn(storage: Storage, data: NumericData): boolean {
  if (isViewOf(data.buffer, storage)) return true;
  const start = ffi.address((storage as AddressedStorage).pointer), address = ffi.address(ffi.of(data));
  return start <= address && address < start + BigInt(storage.byteLength);
}

function placeGiven(frame: Frame, position: number, index: number, port: Port, target: Tensor): OutputPlace {
  const storage = storageOf(target);
  checkTarget(port, target, storage, frame.asynchronous);
  if (!equalShapes(shapeOf(target), frame.checkedTargets[index])) {
    checkTargetShape(port, shapeOf(target));
    frame.checkedTargets[index] = shapeOf(target);
  }
  const shape = frame.checkedTargets[index]!;
  frame.targets[position] = target;
  if (storage.kind !== "heap") {
    storage.pinWrite();
    frame.writing.push(storage);
    if (frame.lent.some((data) => liesIn(storage, data))) {
      throw typeError("TENSOR_BUSY", `Cannot write output "${port.name}": the run reads its memory as a heap tensor`);
    }
    if ([...frame.reading, ...frame.writing].some((other) => sharesMemory(storage, other))) {
      throw typeError("TENSOR_BUSY", `Cannot write output "${port.name}": the run uses its memory as another tensor`);
    }
    frame.putOutput(position, valueOf(target, storage));
    return IN_PLACE;
  }
  storage.checkReadable();
  const { byteLength } = storage;
  const data = byteLength > LEND_FROM ? storage.data(target.dtype) as NumericData : undefined;
  const isFed = data && (isLent(frame, data) || frame.reading.some((storage) => liesIn(storage, data)));
  if (data !== undefined && !isFed) { // what is also a feed is computed apart from it
    frame.lent.push(data);
    const value = createTensorValue(ffi.of(data), byteLength, shape, port.elementType);
    frame.putOutput(position, frame.addTransient(value));
    return IN_PLACE;
  }
  const stage = stageOf(frame, index, port, byteLength);
  frame.putOutput(position, stage.fit(shape, byteLength));
  return frame.stagedGivenPlaces[index] ??= new StagedGivenPlace(stage);
}
