import { ffi, type Pointer } from "../../../ffi/mod.ts";
import { typeError } from "../../errors.ts";
import type { Handle } from "../../handle.ts";
import { Block } from "../../memory/block.ts";
import { createStringValue, createTensorValue } from "../../ort/value.ts";
import { PLACE, type TensorDescription } from "../../protocol/description.ts";
import { violation } from "../../protocol/frames.ts";
import { checkShape, type Port } from "../../session/port.ts";
import type { SessionCore } from "../../session/session_core.ts";
import { decodeTensor } from "../../tensor/bytes.ts";
import { dtypeOfOnnx } from "../../tensor/dtype.ts";
import type { LaneView } from "./lane_view.ts";
import { checkExtent, outside } from "./extent.ts";
import { RegionPart } from "./region_part.ts";
import { valueHandle } from "./value_handle.ts";

/** Floats up to so many bytes may be parameters, which C reads more than once. */
const PARAMETER_BYTES = 256;
/** ONNX's numbers of what C computes with and never takes for an index: float32, float16, float64, bfloat16. */
export const FLOATS: readonly number[] = [1, 10, 11, 16];

/** An input of a plan. */
export interface PlannedInput {
  readonly port: Port;
  readonly shape: readonly number[];
  readonly byteLength: number;
  readonly value: Handle;
  /** Where it lies: in the client's memory, or in the copy of it. */
  readonly pointer: Pointer | undefined;
  /** Brings what the client wrote into memory that it cannot change, before each run. */
  readonly copy: (() => void) | undefined;
  readonly part: RegionPart | undefined;
  /** Memory that is the plan's. */
  readonly block: Block | undefined;
}

/**
 * Lays an input out for C: what the client can change while C reads it, and C would follow, is copied.
 *
 * @param isFed whether a port has an input already
 * @param inPlace whether floats may be read where the client can write
 * @throws {TypeError | RangeError | ReferenceError | NativeError} for what cannot be fed
 */
export function planInput(
  core: SessionCore,
  lane: LaneView,
  tensor: TensorDescription,
  { isFed, inPlace }: { readonly isFed: (port: Port) => boolean; readonly inPlace: boolean },
): PlannedInput {
  const count = core.inputs.length, { shape, byteLength, byteOffset, place } = tensor;
  const port = tensor.port < count ? core.inputs[tensor.port] : core.overridable[tensor.port - count];
  if (port === undefined) throw typeError("UNKNOWN_FEED", `Cannot feed input ${tensor.port}: the model has ${count}`);
  if (isFed(port)) throw violation(`input "${port.name}" is fed twice`);
  const dtype = dtypeOfOnnx(tensor.elementType);
  if (dtype !== port.dtype || port.info.kind === "sequence" || port.info.kind === "map") {
    const message = `Cannot feed "${port.name}": ${port.info.dtype} wanted, ${dtype ?? tensor.elementType} found`;
    throw typeError("INVALID_DTYPE", message);
  }
  checkShape(port, shape);
  if (dtype === "string") return planStrings(lane, port, tensor);
  checkExtent(port.name, tensor);
  const isCopied = !inPlace || byteLength <= PARAMETER_BYTES || !FLOATS.includes(tensor.elementType);
  let part: RegionPart | undefined, from: Pointer;
  if (place === PLACE.region) {
    part = RegionPart.open(tensor, lane.pid);
    from = part.pointer;
  } else if (place === PLACE.lane && lane.contains(byteOffset, byteLength) && byteOffset % 64 === 0) {
    from = lane.at(byteOffset);
  } else {
    throw outside(`input "${port.name}"`, tensor);
  }
  if (!isCopied) {
    const value = valueHandle(createTensorValue(from, byteLength, shape, tensor.elementType));
    return { port, shape, byteLength, value, pointer: from, copy: undefined, part, block: undefined };
  }
  const block = new Block(Math.max(1, byteLength)), words = Math.floor(byteLength / 4);
  const source = ffi.view(from, byteLength), to32 = new Uint32Array(block.buffer, 0, words);
  const from32 = new Uint32Array(source, 0, words), rest = byteLength - words * 4;
  const copy = (): void => {
    if (words <= 16) { for (let i = 0; i < words; i++) to32[i] = from32[i]!; }
    else to32.set(from32);
    if (rest > 0) new Uint8Array(block.buffer, words * 4, rest).set(new Uint8Array(source, words * 4, rest));
  };
  const value = valueHandle(createTensorValue(block.pointer, byteLength, shape, tensor.elementType));
  return { port, shape, byteLength, value, pointer: block.pointer, copy, part, block };
}

function planStrings(lane: LaneView, port: Port, tensor: TensorDescription): PlannedInput {
  const { byteOffset, byteLength, shape, elementType, place } = tensor;
  if (place !== PLACE.encoded || !lane.contains(byteOffset, byteLength)) {
    throw outside(`input "${port.name}"`, tensor);
  }
  const { dtype, shape: found, data } = decodeTensor(new Uint8Array(lane.view(byteOffset, byteLength)).slice());
  if (dtype !== "string" || found.join() !== shape.join()) throw violation(`input "${port.name}" is other bytes`);
  const value = valueHandle(createStringValue(data as string[], shape, elementType));
  return { port, shape, byteLength, value, pointer: undefined, copy: undefined, part: undefined, block: undefined };
}
