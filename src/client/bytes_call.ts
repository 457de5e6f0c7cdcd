import { typeError } from "../errors.ts";
import type { CallOptions } from "../protocol/call_options.ts";
import { checkInputs, selectOutputs } from "../protocol/call_parts.ts";
import { decodeTensors, encodeTensors, violation } from "../protocol/frames.ts";
import { fillOutput, placeOutput } from "../protocol/call_result.ts";
import type { RemoteModel } from "../protocol/remote_model.ts";
import type { Feeds } from "../session/run_options.ts";
import { emptyTensors, type Tensors } from "../session/tensors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { WorkerConnection } from "./worker_connection.ts";
import type { ModelName } from "./worker_link.ts";

const NOWHERE = (): boolean => false;

/** Runs a worker's model with tensors as bytes, where no memory is shared. @throws as `LaneCaller.run` */
export async function runAsBytes(
  connection: WorkerConnection,
  remote: RemoteModel,
  { name, version }: ModelName,
  feeds: Feeds,
  options: CallOptions,
): Promise<Tensors> {
  const { signal, outputs: wanted, outputStorage, timeoutMs, priority, sequence } = options;
  checkInputs(remote, feeds, NOWHERE, sequence === undefined ? [] : remote.description.state);
  const { outputStorage: _, ...plain } = options, fresh = new Set<Tensor>();
  const selected = selectOutputs(remote, plain, true, NOWHERE, fresh);
  if (selected.length === 0) throw typeError("INVALID_ARGUMENT", "Cannot run: no output to compute is named");
  const names = selected.map(({ port }) => port.name), request = { timeoutMs, priority, sequence };
  const body = encodeTensors({ model: name, version, outputs: names, options: request }, feeds);
  const { tensors: results } = decodeTensors(await connection.infer(body, signal));
  const tensors = emptyTensors(wanted !== undefined && !Array.isArray(wanted));
  for (const { port, target } of selected) {
    const result = results[port.name];
    if (result === undefined) throw violation(`an answer without output "${port.name}"`);
    tensors[port.name] = target === undefined
      ? placeOutput(result, outputStorage ?? "heap")
      : fillOutput(port.name, target, result);
  }
  return tensors as unknown as Tensors;
}
