import { typeError } from "../errors.ts";
import { packGeneration } from "../memory/block_use.ts";
import { checkFeed, refuseFeed, refuseUnknownFeeds } from "../session/feed.ts";
import { checkTarget, checkTargetShape } from "../session/output.ts";
import { checkShape, type Port } from "../session/port.ts";
import type { Feeds } from "../session/run_options.ts";
import { encodeTensor } from "../tensor/bytes.ts";
import { type NumericData, type NumericDType, onnxElementType, STRING_ELEMENT_TYPE } from "../tensor/dtype.ts";
import { isTensor, shapeOf, storageOf } from "../tensor/internal.ts";
import { SharedMemoryAllocator } from "../tensor/shared_memory_allocator.ts";
import { SharedStorage } from "../tensor/shared_storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { CallOptions } from "./call_options.ts";
import { PLACE, type TensorDescription } from "./description.ts";
import type { RemoteModel } from "./remote_model.ts";

/** Whether the worker can open a region: tensors of others are copied. */
export type Reachable = (region: string) => boolean;

/** An input of a request. */
export interface CallInput {
  readonly number: number;
  readonly port: Port;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** The memory that the worker reads, where it can. */
  readonly shared: SharedStorage | undefined;
  /** Strings as bytes. */
  readonly encoded: Uint8Array | undefined;
  /** Where it is copied to, otherwise. */
  byteOffset: number;
  data: NumericData | undefined;
}

/** An output of a request. */
export interface CallOutput {
  readonly index: number;
  readonly port: Port;
  readonly target: Tensor | undefined;
  /** The memory that the worker writes, where it can. */
  readonly shared: SharedStorage | undefined;
  /** Where else it is to go, and how many bytes have room there. */
  byteOffset: number;
  capacity: number;
}

function sharedStorage(tensor: Tensor, isReachable: Reachable): SharedStorage | undefined {
  const storage = storageOf(tensor);
  if (!(storage instanceof SharedStorage) || !isReachable(storage.held.region.name)) return undefined;
  return storage;
}

/** Checks feeds as a session does, and decides how each gets to the worker. @throws as `InferenceSession.run` */
export function checkInputs(
  model: RemoteModel,
  feeds: Feeds,
  isReachable: Reachable,
  omitted: readonly string[],
): CallInput[] {
  if (typeof feeds !== "object" || feeds === null) {
    throw typeError("INVALID_ARGUMENT", "Cannot run: an object of tensors by name wanted as feeds");
  }
  refuseUnknownFeeds(model, feeds);
  for (const port of model.inputs) {
    const tensor: unknown = feeds[port.name];
    if (!isTensor(tensor) && !(tensor === undefined && omitted.includes(port.name))) {
      refuseFeed(model, port.name, port, tensor);
    }
  }
  const ports = [...model.inputs, ...model.overridable];
  return Object.keys(feeds).map((name) => { // in the order of the feeds' keys, which the next request has again
    const number = ports.findIndex((port) => port.name === name), port = ports[number]!, tensor: unknown = feeds[name];
    if (!isTensor(tensor)) refuseFeed(model, name, port, tensor);
    if (omitted.includes(name)) {
      throw typeError("UNKNOWN_FEED", `Cannot feed "${name}" in a sequence: the worker keeps that state`);
    }
    checkFeed(port, tensor);
    checkShape(port, shapeOf(tensor));
    const storage = storageOf(tensor);
    storage.checkReadable();
    storage.check();
    const encoded = tensor.dtype === "string"
      ? encodeTensor("string", shapeOf(tensor), storage.data("string"))
      : undefined;
    return {
      number,
      port,
      shape: shapeOf(tensor),
      byteLength: encoded?.length ?? storage.byteLength,
      shared: sharedStorage(tensor, isReachable),
      encoded,
      byteOffset: 0,
      data: undefined,
    };
  });
}

/** Checks which outputs are wanted, as a session does, and decides how each gets back. @throws as `InferenceSession.run` */
export function selectOutputs(
  model: RemoteModel,
  options: CallOptions | undefined,
  asynchronous: boolean,
  isReachable: Reachable,
  fresh: Set<Tensor>,
): CallOutput[] {
  const wanted = options?.outputs, isGiven = wanted !== undefined && !Array.isArray(wanted);
  const names = wanted === undefined
    ? model.outputs.filter(({ fetchable }) => fetchable).map(({ name }) => name)
    : Array.isArray(wanted)
    ? wanted as readonly string[]
    : Object.keys(wanted);
  return names.map((name, position) => {
    const index = model.outputPort(name), port = model.outputs[index]!;
    if (names.indexOf(name) !== position) {
      throw typeError("INVALID_ARGUMENT", `Cannot run: output "${name}" is asked for twice`);
    }
    const target = isGiven ? (wanted as Record<string, Tensor>)[name] : freshTarget(port, options, fresh);
    if (isGiven) checkGiven(port, target, asynchronous);
    const shared = target && sharedStorage(target, isReachable);
    return { index, port, target, shared, byteOffset: 0, capacity: shared?.byteLength ?? model.roomFor(index) };
  });
}

function checkGiven(port: Port, target: unknown, asynchronous: boolean): void {
  if (!isTensor(target)) {
    throw typeError("INVALID_ARGUMENT", `Cannot write output "${port.name}": a Tensor wanted, ${typeof target} found`);
  }
  const storage = storageOf(target);
  checkTarget(port, target, storage, asynchronous);
  checkTargetShape(port, shapeOf(target));
}

/** New shared memory, where it is wanted and the output's shape is known. */
function freshTarget(port: Port, options: CallOptions | undefined, fresh: Set<Tensor>): Tensor | undefined {
  if (options?.outputStorage !== "shared" || port.fixed === undefined) return undefined;
  const tensor = SharedMemoryAllocator.default.tensor(port.dtype as NumericDType, port.fixed.shape);
  fresh.add(tensor);
  return tensor;
}

function inRegion(
  { held }: SharedStorage,
): Pick<TensorDescription, "byteOffset" | "byteLength" | "region" | "generation"> {
  const { region, index, generation, byteOffset, byteLength } = held;
  return {
    byteOffset,
    byteLength,
    region: region.name,
    generation: packGeneration({ index, generation, handedOff: false }),
  };
}

/** How an input is described to the worker. */
export function describeInput(input: CallInput): TensorDescription {
  const { number, port, shape, shared, byteOffset, byteLength, encoded } = input, { elementType } = port;
  const place = shared ? PLACE.region : encoded ? PLACE.encoded : PLACE.lane;
  return { port: number, elementType, shape, place, byteOffset, byteLength, ...(shared && inRegion(shared)) };
}

/** How an output is described to the worker. */
export function describeOutput({ index, port, target, shared, byteOffset, capacity }: CallOutput): TensorDescription {
  const { elementType } = port;
  if (shared !== undefined) {
    return {
      port: index,
      elementType: onnxElementType(target!.dtype),
      shape: shapeOf(target!),
      place: PLACE.region,
      ...inRegion(shared),
    };
  }
  const place = elementType === STRING_ELEMENT_TYPE ? PLACE.encoded : PLACE.lane;
  return { port: index, elementType, shape: [], place, byteOffset, byteLength: capacity };
}
