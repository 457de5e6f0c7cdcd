import { datatypeOf } from "../../protocol/oip/datatypes.ts";
import type { ModelDescription } from "../../protocol/remote_model.ts";
import type { ValueInfo } from "../../ort/type_info.ts";
import { isDType } from "../../tensor/dtype.ts";
import type { BatchAxes } from "../batch_axes.ts";
import type { ServedEntry } from "../served_models.ts";

/** An input or output of a model, by Triton's names. */
export interface ConfigTensor {
  readonly name: string;
  readonly data_type: string;
  /** Sizes, -1 for an open one: without the axis of the batch where `max_batch_size` is above 0. */
  readonly dims: readonly number[];
}

/** An input that a sequence does not feed: it is an output of the request before. */
export interface StateVariable {
  readonly input_name: string;
  readonly output_name: string;
  readonly data_type: string;
  readonly dims: readonly number[];
}

/** What the model configuration extension says of a model. */
export interface ModelConfigDocument {
  readonly name: string;
  readonly platform: string;
  readonly backend: string;
  readonly max_batch_size: number;
  readonly input: readonly ConfigTensor[];
  readonly output: readonly ConfigTensor[];
  readonly dynamic_batching?: { readonly max_queue_delay_microseconds: number };
  /** Of a model that keeps state from request to request of a sequence. */
  readonly sequence_batching?: { readonly state: readonly StateVariable[] };
  readonly parameters: Readonly<Record<string, { readonly string_value: string }>>;
}

/**
 * The model configuration extension's document of a model, by Triton's names.
 *
 * Who reads it takes `max_batch_size` above 0 to mean that each input and output has the batch as its first axis, beside
 * its `dims`. A model whose requests are joined in another way has 0, all of its axes in `dims`, and `dynamic_batching`
 * all the same.
 *
 * @param entry how it is served
 * @param description what clients are told of it
 */
export function configDocument(
  { name, config, batching }: Pick<ServedEntry, "name" | "config" | "batching">,
  { inputs, outputs }: Pick<ModelDescription, "inputs" | "outputs">,
): ModelConfigDocument {
  const { maxBatchSize, maxQueueDelayMs, state } = config, axes = "axes" in batching ? batching.axes : undefined;
  const isFirst = axes !== undefined && isFirstAxis(axes);
  const tensors = (infos: readonly ValueInfo[]): ConfigTensor[] => infos.map((info) => tensor(info, isFirst ? 1 : 0));
  return {
    name,
    platform: "onnxruntime_onnx",
    backend: "onnxruntime",
    max_batch_size: isFirst ? maxBatchSize : 0,
    input: tensors(inputs),
    output: tensors(outputs),
    ...(axes && { dynamic_batching: { max_queue_delay_microseconds: Math.round(maxQueueDelayMs * 1000) } }),
    ...(Object.keys(state).length > 0 && { sequence_batching: { state: stateVariables(state, inputs) } }),
    parameters: { coload_max_batch_size: { string_value: `${axes === undefined ? 1 : maxBatchSize}` } },
  };
}

function stateVariables(state: Readonly<Record<string, string>>, inputs: readonly ValueInfo[]): StateVariable[] {
  return inputs.filter(({ name }) => Object.hasOwn(state, name)).map((info) => {
    const { name, data_type, dims } = tensor(info, 0);
    return { input_name: name, output_name: state[name]!, data_type, dims };
  });
}

const isFirstAxis = ({ inputs, outputs }: BatchAxes): boolean =>
  [...Object.values(inputs), ...Object.values(outputs)].every((axis) => axis === 0);

function tensor({ name, dtype, shape }: ValueInfo, omittedAxes: number): ConfigTensor {
  const datatype = isDType(dtype) ? datatypeOf(dtype) : "INVALID";
  const dims = shape.slice(omittedAxes).map((size) => typeof size === "number" ? size : -1);
  return { name, data_type: `TYPE_${datatype === "BYTES" ? "STRING" : datatype}`, dims };
}
