import type { CallOptions } from "../protocol/call_options.ts";
import { checkFilled, fillOutput, placeOutput } from "../protocol/call_result.ts";
import { violation } from "../protocol/frames.ts";
import type { InferResponse, InferResponseOutput } from "../protocol/oip/infer_response.ts";
import type { RemoteModel } from "../protocol/remote_model.ts";
import { emptyTensors, refuseOutput, type Tensors } from "../session/tensors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Wanted } from "./http_call.ts";

/**
 * Makes tensors of what a server answered.
 *
 * @param wanted `undefined`: whatever it answered
 * @param isInPlace whether the server was asked to write an output where it is wanted: not every one says that it did
 * @throws {WorkerError} WORKER_PROTOCOL @throws {RangeError} INVALID_SHAPE
 */
export function collectAnswer(
  remote: RemoteModel,
  wanted: readonly Wanted[] | undefined,
  isInPlace: (wanted: Wanted) => boolean,
  { outputs, outputStorage = "heap" }: CallOptions,
  { outputs: found }: InferResponse,
): Tensors {
  const tensors = emptyTensors(outputs !== undefined && !Array.isArray(outputs));
  for (const { name, info, fetchable } of remote.outputs) {
    if (!fetchable) refuseOutput(tensors, name, info.dtype);
  }
  const byName = new Map(found.map((output) => [output.name, output]));
  for (const one of wanted ?? found.map(({ name }) => unknownOutput(name))) {
    const { name, port } = one, output = byName.get(name);
    if (output !== undefined) tensors[name] = resultOf(one, isInPlace(one), output, outputStorage);
    else if (port?.info.kind === "optional") refuseOutput(tensors, name, "nothing");
    else throw violation(`an answer without output "${name}"`);
  }
  return tensors as unknown as Tensors;
}

const unknownOutput = (name: string): Wanted => ({ name, port: undefined, target: undefined, shared: undefined });

/** An output without a target may have another dtype than the server told: it says so itself. */
function resultOf(
  { name, target }: Wanted,
  isInPlace: boolean,
  { dtype, shape, tensor }: InferResponseOutput,
  storage: NonNullable<CallOptions["outputStorage"]>,
): Tensor {
  if (target === undefined && tensor !== undefined) return placeOutput(tensor, storage);
  if (target === undefined || dtype !== target.dtype) throw violation(`an answer with another output "${name}"`);
  if (tensor !== undefined) return fillOutput(name, target, tensor);
  if (!isInPlace) throw violation(`an answer without the data of output "${name}"`);
  checkFilled(name, target, shape);
  return target;
}
