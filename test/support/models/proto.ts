import onnxProto, { type onnx } from "onnx-proto";

/** ONNX element types by the names that this project uses, with the number that the format gives them. */
export const DTYPES = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
} as const;

/** The name of an ONNX element type. */
export type ModelDtype = keyof typeof DTYPES;

/** A shape as the model declares it: a string is a symbolic dimension, `"N"`; `[]` is a scalar. */
export type ModelShape = readonly (number | string)[];

/** What surrounds the graph; the defaults are IR version 8 and operator set 17. */
export interface ModelOptions {
  opset?: number;
  domains?: Record<string, number>;
  initializers?: onnx.ITensorProto[];
  header?: Omit<onnx.IModelProto, "graph" | "opsetImport">;
}

/** The parts of a graph. */
export interface GraphParts {
  inputs: onnx.IValueInfoProto[];
  outputs: onnx.IValueInfoProto[];
  nodes: onnx.INodeProto[];
}

/** Serializes a model; the bytes are the caller's own, at offset 0 of a buffer of just that size. */
export function encodeModel(graph: GraphParts, options: ModelOptions = {}): Uint8Array<ArrayBuffer> {
  const bytes = onnxProto.onnx.ModelProto.encode(modelProto(graph, options)).finish();
  return new Uint8Array(bytes);
}

/** The message that {@link encodeModel} serializes. */
export function modelProto(graph: GraphParts, options: ModelOptions = {}): onnx.IModelProto {
  const opsets = { "": options.opset ?? 17, ...options.domains };
  return {
    irVersion: 8,
    producerName: "coload-test-models",
    ...options.header,
    opsetImport: Object.entries(opsets).map(([domain, version]) => ({ domain, version })),
    graph: graphProto("graph", graph, options.initializers),
  };
}

/** A graph, the main one or the body of a loop. */
export function graphProto(name: string, graph: GraphParts, initializers: onnx.ITensorProto[] = []): onnx.IGraphProto {
  return { name, node: graph.nodes, input: graph.inputs, output: graph.outputs, initializer: initializers };
}

/** A node; its name is that of its first output, so errors and profiles can be read. */
export function node(
  opType: string,
  input: string[],
  output: string[],
  attribute: onnx.IAttributeProto[] = [],
  domain: string = "",
): onnx.INodeProto {
  return { opType, input, output, name: `${opType}_${output[0]}`, attribute, domain };
}

/** A tensor-typed input or output. */
export function value(name: string, dtype: ModelDtype, shape: ModelShape): onnx.IValueInfoProto {
  return { name, type: tensorType(dtype, shape) };
}

/** The type of a tensor; without a shape, even its rank is unknown. */
export function tensorType(dtype: ModelDtype, shape?: ModelShape): onnx.ITypeProto {
  const dim = shape?.map((size) => typeof size === "string" ? { dimParam: size } : { dimValue: size });
  return { tensorType: { elemType: DTYPES[dtype], ...(dim && { shape: { dim } }) } };
}

/** A float32 constant; `values` in row-major order. */
export function floats(name: string, dims: number[], values: ArrayLike<number>): onnx.ITensorProto {
  return { name, dims, dataType: DTYPES.float32, rawData: littleEndian(Float32Array.from(values)) };
}

/** An int64 constant; `values` in row-major order. */
export function int64s(name: string, dims: number[], values: number[]): onnx.ITensorProto {
  return { name, dims, dataType: DTYPES.int64, rawData: littleEndian(BigInt64Array.from(values, BigInt)) };
}

/** An integer attribute. */
export function intAttribute(name: string, i: number): onnx.IAttributeProto {
  return { name, i, type: onnxProto.onnx.AttributeProto.AttributeType.INT };
}

function littleEndian(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
