import onnxProto, { type onnx } from "onnx-proto";
import { closeSync, openSync, writeFileSync } from "node:fs";
import { Buffer } from "node:buffer";
import { basename, dirname, join } from "node:path";
import { DTYPES, modelProto, node, value } from "./proto.ts";
import { noiseChunk, writeAll, writeNoise } from "./noise.ts";

/** What a generated model weighs and where it goes. */
export interface WeightsOptions {
  /** Path of the `.onnx` file; its directory must exist. */
  path: string;
  /** All weights together, bytes; rounded down to whole rows of the last matrix. */
  byteLength: number;
  /** Number of matrices; by default one for each 16 MiB. */
  layers?: number;
  /** Whether the weights lie in a file beside the model: its bare name, or `true` for `<model>.data`. */
  external?: boolean | string;
}

/** One generated weight. */
export interface WeightTensor {
  name: string;
  shape: [number, number];
  /** Where its bytes start: in the data file when external, else in the `.onnx`. */
  offset: number;
  byteLength: number;
}

/** A model that {@link writeWeights} wrote. */
export interface WeightsModel {
  path: string;
  /** The data file of external weights. */
  dataPath?: string;
  /** All weights together, bytes. */
  byteLength: number;
  /** `x` is float32 `["batch", inputWidth]`. */
  inputWidth: number;
  /** `y` is float32 `["batch", outputWidth]`. */
  outputWidth: number;
  tensors: WeightTensor[];
}

const PAGE = 4096;
const MAX_PROTOBUF = 2 ** 31 - 1;
const DEFAULT_LAYER = 16 * 2 ** 20;

/**
 * Writes a chain of MatMul whose float32 weights take `byteLength` bytes, the same ones each time. The weights are
 * streamed from a chunk of 16 MiB. External ones start at multiples of 4096, so each can be mapped.
 * @throws {RangeError} when weights inside the model would take it to 2 GiB, which is protobuf's limit.
 */
export function writeWeights(options: WeightsOptions): WeightsModel {
  const { path, external = false } = options;
  const shapes = layerShapes(options);
  const dataName = external === true ? `${basename(path)}.data` : external;
  return dataName ? writeExternal(path, dataName, shapes) : writeInside(path, shapes);
}

function layerShapes(
  { byteLength, layers = Math.ceil(byteLength / DEFAULT_LAYER) }: WeightsOptions,
): [number, number][] {
  const width = Math.floor(Math.sqrt(byteLength / 4 / layers));
  if (!(width >= 1)) throw new RangeError(`Cannot write ${byteLength} bytes of weights in ${layers} layers`);
  const last = Math.floor((byteLength / 4 - (layers - 1) * width * width) / width);
  return Array.from({ length: layers }, (_, index) => [width, index === layers - 1 ? last : width]);
}

function writeExternal(path: string, dataName: string, shapes: [number, number][]): WeightsModel {
  let end = 0;
  const tensors = shapes.map((shape, index) => {
    const tensor = weightTensor(index, shape, Math.ceil(end / PAGE) * PAGE);
    end = tensor.offset + tensor.byteLength;
    return tensor;
  });
  const externalData = (tensor: WeightTensor): onnx.IStringStringEntryProto[] => [
    { key: "location", value: dataName },
    { key: "offset", value: `${tensor.offset}` },
    { key: "length", value: `${tensor.byteLength}` },
  ];
  const dataLocation = onnxProto.onnx.TensorProto.DataLocation.EXTERNAL;
  const model = chain(tensors);
  const initializer = tensors.map((t) => ({ ...tensorHeader(t), dataLocation, externalData: externalData(t) }));
  const proto = { ...model, graph: { ...model.graph, initializer } };
  writeFileSync(path, onnxProto.onnx.ModelProto.encode(proto).finish());
  const dataPath = join(dirname(path), dataName);
  writeFile(dataPath, shapes[0]![0], tensors);
  return { path, dataPath, ...measures(tensors), tensors };
}

/** Lays the protobuf out by hand, as an encoder would need all weights in memory: header, graph, one field a weight. */
function writeInside(path: string, shapes: [number, number][]): WeightsModel {
  const layout = shapes.map((shape, index) => weightTensor(index, shape, 0));
  const { graph, ...header } = chain(layout);
  const graphBytes = onnxProto.onnx.GraphProto.encode(graph!).finish();
  const fields = layout.map((tensor) => {
    const fixed = onnxProto.onnx.TensorProto.encode(tensorHeader(tensor)).finish();
    const rawData = fieldHead(9, tensor.byteLength);
    return concat(fieldHead(5, fixed.length + rawData.length + tensor.byteLength), fixed, rawData);
  });
  const graphLength = graphBytes.length +
    layout.reduce((sum, t, index) => sum + fields[index]!.length + t.byteLength, 0);
  if (graphLength > MAX_PROTOBUF - PAGE) {
    throw new RangeError(`Cannot write a model of ${graphLength} bytes in one file: protobuf ends below 2 GiB`);
  }
  const start = concat(onnxProto.onnx.ModelProto.encode(header).finish(), fieldHead(7, graphLength), graphBytes);
  let end = start.length;
  const tensors = layout.map((tensor, index) => {
    const offset = end + fields[index]!.length;
    end = offset + tensor.byteLength;
    return { ...tensor, offset };
  });
  writeFile(path, shapes[0]![0], [start, ...tensors.flatMap((tensor, index) => [fields[index]!, tensor])]);
  return { path, ...measures(tensors), tensors };
}

function weightTensor(index: number, shape: [number, number], offset: number): WeightTensor {
  return { name: `weight${index}`, shape, offset, byteLength: 4 * shape[0] * shape[1] };
}

function tensorHeader(tensor: WeightTensor): onnx.ITensorProto {
  return { name: tensor.name, dims: tensor.shape, dataType: DTYPES.float32 };
}

function measures(tensors: WeightTensor[]): Pick<WeightsModel, "byteLength" | "inputWidth" | "outputWidth"> {
  const byteLength = tensors.reduce((sum, tensor) => sum + tensor.byteLength, 0);
  return { byteLength, inputWidth: tensors[0]!.shape[0], outputWidth: tensors.at(-1)!.shape[1] };
}

function chain(tensors: WeightTensor[]): onnx.IModelProto {
  const { inputWidth, outputWidth } = measures(tensors);
  const name = (index: number): string => index === 0 ? "x" : index === tensors.length ? "y" : `x${index}`;
  return modelProto({
    inputs: [value("x", "float32", ["batch", inputWidth])],
    outputs: [value("y", "float32", ["batch", outputWidth])],
    nodes: tensors.map((tensor, index) => node("MatMul", [name(index), tensor.name], [name(index + 1)])),
  });
}

/** Tag and length of a length-delimited protobuf field. */
function fieldHead(field: number, byteLength: number): Uint8Array {
  const bytes = [field << 3 | 2];
  let rest = byteLength;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(rest % 128 + 128);
  return Uint8Array.from([...bytes, rest]);
}

function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Writes bytes one after the other, and weights at their offsets. */
function writeFile(path: string, width: number, parts: (Uint8Array | WeightTensor)[]): void {
  const noise = noiseChunk(1 / Math.sqrt(width));
  const file = openSync(path, "w");
  let position = 0;
  try {
    for (const part of parts) {
      if (part instanceof Uint8Array) {
        writeAll(file, part, position);
        position += part.length;
      } else {
        writeNoise(file, noise, part.offset, part.byteLength);
        position = part.offset + part.byteLength;
      }
    }
  } finally {
    closeSync(file);
  }
}
