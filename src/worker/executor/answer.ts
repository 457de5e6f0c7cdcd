import { ffi, type Pointer } from "../../../ffi/mod.ts";
import { describeTensorValue, tensorData, tensorStrings } from "../../ort/value.ts";
import { NativeError, rangeError } from "../../errors.ts";
import { dtypeName } from "../../ort/type_info.ts";
import { answerByteLength, PLACE, type TensorDescription, writeAnswer } from "../../protocol/description.ts";
import { ANSWER, SLOT, slotWord } from "../../protocol/lane_layout.ts";
import { encodeTensor } from "../../tensor/bytes.ts";
import { dtypeOfOnnx, elementByteLength, STRING_ELEMENT_TYPE } from "../../tensor/dtype.ts";
import { equalShapes } from "../../tensor/shape.ts";
import type { LaneView } from "./lane_view.ts";
import type { Plan } from "./plan.ts";
import type { PlannedOutput } from "./planned_output.ts";

/** An output's value as one request has it. */
export interface ComputedOutput {
  readonly elementType: number;
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Writes its bytes, all of them; undefined where C wrote them at their place. */
  readonly write: ((target: Uint8Array) => void) | undefined;
}

/** The same in memory of its own, for as long as it is wanted. */
export function copied(output: ComputedOutput): ComputedOutput {
  const bytes = new Uint8Array(output.byteLength);
  output.write!(bytes);
  return { ...output, write: (target) => target.set(bytes) };
}

/** What a value holds; an empty optional is nothing. @throws {NativeError} UNSUPPORTED */
export function readOutput({ port }: PlannedOutput, value: Pointer): ComputedOutput | undefined {
  const found = describeTensorValue(value);
  if (found === undefined) return undefined;
  const { elementType, shape, size } = found, dtype = dtypeOfOnnx(elementType);
  if (dtype === undefined) {
    const what = `a tensor of ${dtypeName(elementType)}`;
    throw new NativeError("UNSUPPORTED", `Cannot fetch output "${port.name}": ${port.dtype} wanted, ${what} found`);
  }
  if (dtype === "string") {
    const bytes = encodeTensor("string", shape, tensorStrings(value, size)), { length } = bytes;
    return { elementType, shape, byteLength: length, write: (target) => target.set(bytes) };
  }
  const byteLength = size * elementByteLength(dtype), data = size > 0 ? tensorData(value) : null;
  const write = (target: Uint8Array): void => {
    if (data !== null) target.set(new Uint8Array(ffi.view(data, byteLength)));
  };
  return { elementType, shape, byteLength, write };
}

/** Where an output goes, and whether there is room. */
function placed(output: PlannedOutput, computed: ComputedOutput | undefined): TensorDescription {
  const { index, target, part, port } = output;
  const isAsDescribed = computed?.elementType === port.elementType && equalShapes(computed.shape, target.shape);
  if (part !== undefined && !(isAsDescribed && computed.byteLength === target.byteLength)) {
    const message = `Cannot write output "${port.name}": shape [${computed?.shape.join(", ")}] wanted, ` +
      `[${target.shape.join(", ")}] found`;
    throw rangeError("INVALID_SHAPE", message);
  }
  if (computed === undefined) {
    return { port: index, elementType: 0, shape: [], place: PLACE.none, byteOffset: 0, byteLength: 0 };
  }
  const { elementType, shape, byteLength } = computed, isString = elementType === STRING_ELEMENT_TYPE;
  const fits = part !== undefined || (target.place !== PLACE.none && byteLength <= target.byteLength);
  const place = part !== undefined ? PLACE.region : !fits ? PLACE.none : isString ? PLACE.encoded : PLACE.lane;
  return { port: index, elementType, shape, place, byteOffset: target.byteOffset, byteLength };
}

/** An output's bytes where they go. */
function placeOf(lane: LaneView, plan: Plan, position: number, byteLength: number): Uint8Array {
  const before = plan.places[position];
  if (before?.length === byteLength) return before;
  const { part, target } = plan.outputs[position]!;
  const memory = part === undefined ? lane.view(target.byteOffset, byteLength) : ffi.view(part.pointer, byteLength);
  return plan.places[position] = new Uint8Array(memory);
}

/** What was delivered for a plan last: the next answer of the same shapes is described already. */
export interface Delivery {
  readonly layout: number;
  readonly revision: number;
  readonly tensors: readonly TensorDescription[];
  readonly answer: { readonly status: number; readonly answerByteLength: number };
}

function isSame(tensors: readonly TensorDescription[], computed: readonly (ComputedOutput | undefined)[]): boolean {
  return tensors.every(({ elementType, shape, byteLength }, i) => {
    const found = computed[i];
    return found?.elementType === elementType && found.byteLength === byteLength && equalShapes(found.shape, shape);
  });
}

/**
 * Brings outputs to their places and describes them, or says that some found no room.
 *
 * @returns the answer's status and bytes
 */
export function deliver(
  lane: LaneView,
  slot: number,
  plan: Plan,
  computed: readonly (ComputedOutput | undefined)[],
): Delivery["answer"] {
  const { words } = lane, at = slotWord(slot), before = plan.delivery, layout = words[at + SLOT.layout]!;
  const isDescribed = before !== undefined && before.layout === layout &&
    before.revision === words[at + SLOT.answerRevision] && isSame(before.tensors, computed);
  const tensors = isDescribed
    ? before.tensors
    : plan.outputs.map((output, position) => placed(output, computed[position]));
  const isKept = tensors.some(({ place, byteLength }) => place === PLACE.none && byteLength > 0);
  tensors.forEach(({ place, byteLength }, position) => {
    if (isKept || place === PLACE.none || byteLength === 0) return;
    computed[position]!.write?.(placeOf(lane, plan, position, byteLength));
  });
  if (isDescribed) return before.answer;
  const status = isKept ? ANSWER.kept : ANSWER.done;
  const answer = { status, answerByteLength: describe(lane, slot, tensors) };
  plan.delivery = isKept ? undefined : { layout, revision: words[at + SLOT.answerRevision]!, tensors, answer };
  return answer;
}

/** Writes an answer's description. @throws {NativeError} UNSUPPORTED where the client left no room for it */
function describe(lane: LaneView, slot: number, tensors: readonly TensorDescription[]): number {
  const at = slotWord(slot), byteLength = answerByteLength(tensors), capacity = lane.words[at + SLOT.answerCapacity]!;
  const byteOffset = lane.words[at + SLOT.answerOffset]!;
  if (byteLength > capacity || !lane.contains(byteOffset, byteLength)) {
    const message = `Cannot answer: ${byteLength} bytes of room wanted, ${capacity} found`;
    throw new NativeError("UNSUPPORTED", message);
  }
  const bytes = new Uint8Array(byteLength);
  writeAnswer(bytes, tensors);
  new Uint8Array(lane.view(byteOffset, byteLength)).set(bytes);
  lane.words[at + SLOT.answerRevision]!++;
  return byteLength;
}
