import { ffi, type Pointer } from "../../../ffi/mod.ts";
import { ort } from "../../ort/environment.ts";
import { check } from "../../ort/status.ts";
import { ANSWER, SLOT, slotWord } from "../../protocol/lane_layout.ts";
import { refusesShape } from "../../session/expected_extents.ts";
import { matchesShape } from "../../session/port.ts";
import { STRING_ELEMENT_TYPE } from "../../tensor/dtype.ts";
import { type ComputedOutput, deliver, readOutput } from "./answer.ts";
import type { LaneView } from "./lane_view.ts";
import type { Plan, Target } from "./plan.ts";
import type { PlannedOutput } from "./planned_output.ts";
import { releaseValue } from "./value_handle.ts";

/** Results that found no room, as the executor keeps them until they are collected. */
export interface KeptResults extends Disposable {
  /** Which outputs of which model they are: room is made for the same. */
  readonly of: string;
  readonly computed: readonly (ComputedOutput | undefined)[];
}

/** What a run gave. */
export interface Delivered {
  readonly status: number;
  readonly answerByteLength: number;
  readonly kept: KeptResults | undefined;
}

/** What an output is that C wrote at its place. */
const written = ({ port }: PlannedOutput, { extent }: Target): ComputedOutput => ({
  elementType: port.elementType,
  ...extent,
  write: undefined,
});

/** Runs one request. The caller has begun the plan, and ends it. @throws {OrtError} and as `readOutput` */
export function runSingle(lane: LaneView, slot: number, plan: Plan, runOptions: Pointer): Delivered {
  const { outputs } = plan;
  if (!plan.isInPlace) point(lane, plan);
  let status = plan.run(runOptions);
  if (status !== null) {
    if (withdraw(plan, status)) {
      ort().api.ReleaseStatus(status);
      status = plan.run(runOptions);
    }
    check(status, "run the model");
  }
  if (!plan.isInPlace) return collect(lane, slot, plan);
  const { words } = lane, at = slotWord(slot), before = plan.described, layout = words[at + SLOT.layout]!;
  if (before !== undefined && before.revision === words[at + SLOT.answerRevision] && before.layout === layout) {
    return before.delivered;
  }
  const delivered = {
    ...deliver(lane, slot, plan, outputs.map((output, i) => written(output, plan.targets[i]!))),
    kept: undefined,
  };
  plan.described = { layout, delivered, revision: words[at + SLOT.answerRevision]! };
  return delivered;
}

/** Has C write outputs at their places, where it is known how large they are, and make the others. */
function point(lane: LaneView, plan: Plan): void {
  plan.isInPlace = true;
  plan.outputs.forEach((_, i) => {
    const target = plan.expectTarget(lane, i);
    plan.slots[i] = target?.value.address ?? 0n;
    if (target === undefined) plan.isInPlace = false;
  });
}

/** Leaves outputs to onnxruntime whose shape was only expected, where that is why a run failed. */
function withdraw(plan: Plan, status: Pointer): boolean {
  if (!refusesShape(ffi.string(ort().api.GetErrorMessage(status)!))) return false;
  let any = false;
  plan.unbind();
  plan.outputs.forEach(({ part }, i) => {
    if (part !== undefined || plan.targets[i] === undefined) return;
    releaseValue(plan.targets[i].value);
    plan.targets[i] = undefined;
    plan.slots[i] = 0n;
    any = true;
  });
  return any;
}

/** Makes the answer of a run for which onnxruntime made at least one value. */
function collect(lane: LaneView, slot: number, plan: Plan): Delivered {
  const { api } = ort(), { targets } = plan, made: Pointer[] = [];
  const release = (): void => made.splice(0).forEach((value) => api.ReleaseValue(value));
  plan.outputs.forEach((_, i) => {
    if (targets[i] === undefined && plan.slots[i] !== 0n) made.push(ffi.pointer(plan.slots[i]!)!);
  });
  try {
    const computed = plan.outputs.map((output, i) => {
      const target = targets[i];
      if (target !== undefined) return written(output, target);
      const found = readOutput(output, ffi.pointer(plan.slots[i]!)!), { port, index } = output;
      if (found === undefined || port.info.kind !== "tensor") return found;
      if (!matchesShape(port, found.shape)) port.fixed = undefined; // the model is wrong: only onnxruntime knows
      else if (plan.core.onCpu && found.elementType !== STRING_ELEMENT_TYPE) plan.expected.note(index, found);
      return found;
    });
    const delivered = deliver(lane, slot, plan, computed);
    if (delivered.status !== ANSWER.kept) {
      release();
      return { ...delivered, kept: undefined };
    }
    const copies = computed.map((output, i) => targets[i] ? copyOf(lane, plan, i, output!) : output);
    return { ...delivered, kept: { of: plan.outputKey, computed: copies, [Symbol.dispose]: release } };
  } catch (error) {
    release();
    throw error;
  }
}

/** What lies in the client's room, which it may give up for a larger one, kept beside what found none. */
function copyOf(lane: LaneView, { outputs }: Plan, position: number, output: ComputedOutput): ComputedOutput {
  const { part, target } = outputs[position]!;
  if (part !== undefined) return output;
  const bytes = new Uint8Array(lane.view(target.byteOffset, output.byteLength)).slice();
  return { ...output, write: (target) => target.set(bytes) };
}
