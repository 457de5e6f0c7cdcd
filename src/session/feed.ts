import { ffi } from "../../ffi/mod.ts";
import { typeError } from "../errors.ts";
import { createStringValue, createTensorValue } from "../ort/value.ts";
import type { NumericData, NumericDType } from "../tensor/dtype.ts";
import { type HeapStorage, isRowMajorTensor, shapeOf, storageOf, stridesOf } from "../tensor/internal.ts";
import { equalShapes } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Frame } from "./frame.ts";
import type { Feeds } from "./run_options.ts";
import { checkShape, type Port } from "./port.ts";
import type { SessionCore } from "./session_core.ts";
import { Stage } from "./stage.ts";
import { valueOf } from "./tensor_value.ts";

/** Larger heap tensors are lent to a synchronous run instead of copied. */
export const LEND_FROM = 1 << 16;

/** What may be fed: as a session, or a worker's model, knows it. */
export type Feedable = Pick<SessionCore, "inputs" | "overridable">;

const list = (ports: readonly Port[]): string => ports.map(({ name, info }) => `${name} (${info.dtype})`).join(", ");

/** Says what is wrong with a feed that is no tensor. @throws {TypeError} MISSING_FEED, UNKNOWN_FEED or INVALID_ARGUMENT */
export function refuseFeed(core: Feedable, name: string, port: Port | undefined, found: unknown): never {
  if (port === undefined) {
    throw typeError("UNKNOWN_FEED", `Cannot feed "${name}": the model's inputs are ${list(core.inputs)}`);
  }
  if (found === undefined) {
    throw typeError("MISSING_FEED", `Cannot run without input "${name}": the model's inputs are ${list(core.inputs)}`);
  }
  const what = found === null ? "null" : typeof found === "object" ? found.constructor?.name ?? "object" : typeof found;
  throw typeError("INVALID_ARGUMENT", `Cannot feed "${name}": a Tensor wanted, ${what} found`);
}

/** @throws {TypeError} UNKNOWN_FEED for a key that is neither an input nor an initializer that may be replaced */
export function refuseUnknownFeeds(core: Feedable, feeds: Feeds): void {
  for (const name of Object.keys(feeds)) {
    const known = (port: Port): boolean => port.name === name;
    if (!core.inputs.some(known) && !core.overridable.some(known)) refuseFeed(core, name, undefined, undefined);
  }
}

/** Refuses a tensor of another dtype than the input's, or in another order. @throws {TypeError} INVALID_DTYPE, INVALID_LAYOUT or NOT_A_TENSOR */
export function checkFeed(port: Port, tensor: Tensor): void {
  if (!isRowMajorTensor(tensor)) {
    const strides = `[${tensor.strides.join(", ")}]`;
    throw typeError(
      "INVALID_LAYOUT",
      `Cannot feed "${port.name}": row-major elements wanted, strides ${strides} found; use contiguous()`,
    );
  }
  if (port.dtype === undefined || port.info.kind === "sequence" || port.info.kind === "map") {
    throw typeError(
      "NOT_A_TENSOR",
      `Cannot feed "${port.name}": the model wants ${port.info.dtype}, which is no tensor`,
    );
  }
  if (tensor.dtype !== port.dtype) {
    throw typeError("INVALID_DTYPE", `Cannot feed "${port.name}": ${port.dtype} wanted, ${tensor.dtype} found`);
  }
}

/**
 * Checks a feed and puts its value at a position of the run. Native and shared tensors go by reference and stay
 * pinned; small heap tensors and all of an asynchronous run are copied; large ones are lent.
 *
 * @param stage index of the input's stage, apart from its position for initializers that are replaced
 */
export function bindFeed(frame: Frame, position: number, port: Port, tensor: Tensor, stage: number = position): void {
  if (tensor.dtype !== port.dtype || port.info.kind !== "tensor" || stridesOf(tensor)) checkFeed(port, tensor);
  const storage = storageOf(tensor);
  storage.checkReadable();
  if (!equalShapes(shapeOf(tensor), frame.checkedShapes[stage])) {
    checkShape(port, shapeOf(tensor));
    frame.expected.forget();
    frame.checkedShapes[stage] = shapeOf(tensor);
  }
  const shape = frame.checkedShapes[stage]!;
  if (storage.kind !== "heap") {
    frame.putInput(position, valueOf(tensor, storage));
    storage.pinRead();
    frame.reading.push(storage);
    return;
  }
  storage.check();
  if (tensor.dtype === "string") {
    const strings = storage.data("string") as string[];
    frame.putInput(position, frame.addTransient(createStringValue(strings, shape, port.elementType)));
    return;
  }
  const { byteLength } = storage;
  if (!frame.asynchronous && byteLength > LEND_FROM) {
    const data = storage.data(tensor.dtype) as NumericData;
    frame.lent.push(data);
    const value = createTensorValue(ffi.of(data), byteLength, shape, port.elementType);
    frame.putInput(position, frame.addTransient(value));
    return;
  }
  const staged = frame.inputStages[stage] ??= new Stage(port.dtype as NumericDType, byteLength);
  frame.putInput(position, staged.fit(shape, byteLength));
  (storage as HeapStorage).copyTo(staged.data);
}
