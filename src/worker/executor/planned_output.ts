import { rangeError, typeError } from "../../errors.ts";
import { PLACE, type TensorDescription } from "../../protocol/description.ts";
import { matchesShape, type Port } from "../../session/port.ts";
import type { SessionCore } from "../../session/session_core.ts";
import { checkExtent, outside } from "./extent.ts";
import type { LaneView } from "./lane_view.ts";
import { RegionPart } from "./region_part.ts";

/** An output of a plan. */
export interface PlannedOutput {
  readonly port: Port;
  readonly index: number;
  /** Where it goes, as the client says. */
  readonly target: TensorDescription;
  readonly part: RegionPart | undefined;
}

/** Checks where an output goes. @throws {TypeError | RangeError | ReferenceError | NativeError} for what cannot be fetched */
export function planOutput(core: SessionCore, lane: LaneView, target: TensorDescription): PlannedOutput {
  const port = core.outputs[target.port];
  if (port === undefined) {
    const message = `Cannot fetch output ${target.port}: the model has ${core.outputs.length}`;
    throw typeError("UNKNOWN_OUTPUT", message);
  }
  if (!port.fetchable) {
    throw typeError("NOT_A_TENSOR", `Cannot fetch output "${port.name}": it is ${port.info.dtype}`);
  }
  if (target.place === PLACE.region) {
    checkExtent(port.name, target);
    if (target.elementType !== port.elementType || !matchesShape(port, target.shape)) {
      const message = `Cannot write output "${port.name}": shape [${port.info.shape.join(", ")}] wanted, ` +
        `[${target.shape.join(", ")}] found`;
      throw rangeError("INVALID_SHAPE", message);
    }
    const part = RegionPart.open(target, lane.pid);
    return { port, index: target.port, target, part };
  }
  const isInLane = (target.place === PLACE.lane || target.place === PLACE.encoded) &&
    lane.contains(target.byteOffset, target.byteLength) && target.byteOffset % 64 === 0;
  if (!isInLane && target.place !== PLACE.none) throw outside(`output "${port.name}"`, target);
  return { port, index: target.port, target, part: undefined };
}
