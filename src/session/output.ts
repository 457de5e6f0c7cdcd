import { ffi } from "../../ffi/mod.ts";
import { disposedError, rangeError, typeError } from "../errors.ts";
import { createTensorValue } from "../ort/value.ts";
import type { NumericData, NumericDType } from "../tensor/dtype.ts";
import { arrayOf, elementByteLength, heapStorage, makeTensor, type Storage, storageOf } from "../tensor/internal.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { LEND_FROM } from "./feed.ts";
import type { Frame } from "./frame.ts";
import { InPlace, type OutputPlace, StagedGivenPlace, StagedPlace } from "./output_place.ts";
import { matchesShape, type Port } from "./session_core.ts";
import { Stage } from "./stage.ts";
import { valueOf } from "./tensor_value.ts";

function stageOf(frame: Frame, index: number, port: Port, byteLength: number): Stage {
  return frame.outputStages[index] ??= new Stage(port.dtype as NumericDType, byteLength);
}

/** Decides where an output goes. A given tensor is checked, and pinned if C writes its memory. */
export function placeOutput(
  frame: Frame,
  index: number,
  target: Tensor | undefined,
  storage: "heap" | "native",
): OutputPlace {
  const port = frame.core.outputs[index]!;
  if (target !== undefined) return placeGiven(frame, index, port, target);
  if (storage === "native" || port.fixedByteLength < 0) return frame.core.madePlace(index, storage);
  if (port.fixedByteLength <= LEND_FROM) {
    return frame.stagedPlaces[index] ??= new StagedPlace(port, stageOf(frame, index, port, port.fixedByteLength));
  }
  return frame.asynchronous ? frame.core.madePlace(index, storage) : placeFresh(frame, port);
}

/** A new array that nobody else can reach, lent to a synchronous run. */
function placeFresh(frame: Frame, port: Port): OutputPlace {
  const dtype = port.dtype as NumericDType, shape = port.info.shape as readonly number[];
  const data: NumericData = new (arrayOf(dtype))(port.fixedByteLength / elementByteLength(dtype));
  const value = createTensorValue(ffi.of(data), data.byteLength, shape, port.elementType);
  return new InPlace(makeTensor(dtype, shape, heapStorage(data)), frame.addTransient(value), false);
}

/** Refuses a tensor that an output cannot be written into. */
export function checkTarget(port: Port, target: Tensor, storage: Storage, asynchronous: boolean): void {
  const cannot = `Cannot write output "${port.name}"`;
  if (target.dtype !== port.dtype) {
    throw typeError("INVALID_DTYPE", `${cannot}: ${port.dtype} wanted, ${target.dtype} found`);
  }
  if (target.dtype === "string") throw typeError("UNSUPPORTED", `${cannot} into a given tensor: strings come out new`);
  if (target.readOnly) throw typeError("READ_ONLY", `${cannot}: the given tensor is read-only`);
  if (storage.disposed) throw disposedError("tensor");
  storage.check();
  if (storage.kind === "heap" && asynchronous) {
    throw typeError("UNSUPPORTED", `${cannot} of an asynchronous run: a native tensor wanted, a heap tensor found`);
  }
  if (!matchesShape(port, target.shape)) {
    const found = `[${target.shape.join(", ")}] found`;
    throw rangeError("INVALID_SHAPE", `${cannot}: shape [${port.info.shape.join(", ")}] wanted, ${found}`);
  }
}

function placeGiven(frame: Frame, index: number, port: Port, target: Tensor): OutputPlace {
  const storage = storageOf(target);
  checkTarget(port, target, storage, frame.asynchronous);
  if (storage.kind !== "heap") {
    storage.pinWrite();
    frame.writing.push(storage);
    return new InPlace(target, valueOf(target, storage), true);
  }
  storage.checkReadable();
  const { byteLength } = storage;
  const data = byteLength > LEND_FROM ? storage.data(target.dtype) as NumericData : undefined;
  if (data !== undefined && !frame.lent.includes(data)) { // what is also a feed is computed apart from it
    frame.lent.push(data);
    const value = createTensorValue(ffi.of(data), byteLength, target.shape, port.elementType);
    return new InPlace(target, frame.addTransient(value), true);
  }
  const stage = stageOf(frame, index, port, byteLength);
  frame.stagedPlaces[index] = undefined; // the stage may get another shape
  return new StagedGivenPlace(target, stage, stage.fit(target.shape, byteLength));
}
