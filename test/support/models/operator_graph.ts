import onnxProto, { type onnx } from "onnx-proto";
import { toBFloat16 } from "../../../src/tensor/bfloat16.ts";
import { DTYPES, encodeModel, graphProto, type ModelDtype, type ModelShape, node, value } from "./proto.ts";

/** An input of an operator's model. */
export interface OperatorInput {
  readonly name: string;
  readonly dtype: ModelDtype;
  /** Open dimensions are named. */
  readonly shape: ModelShape;
  /** What its integers are below of. Default: any byte. */
  readonly below?: number;
}

/** A model of one operator or a few, and what goes in. */
export interface OperatorModel {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly inputs: readonly OperatorInput[];
}

/** Makes a model with weights of some megabytes; `factor` times as many where it is not 1. */
export type Generator = (factor: number) => OperatorModel;

/** An odd width: what lies one after the other in a file is aligned to nothing. */
export const wide = (width: number, factor: number): number => Math.round(width * Math.sqrt(factor)) | 1;

/** A node's attributes: whole numbers, texts and graphs, by their names. */
export type Attributes = Readonly<
  Record<string, number | readonly number[] | string | readonly string[] | OperatorGraph>
>;

const { INT, INTS, STRING, STRINGS, GRAPH } = onnxProto.onnx.AttributeProto.AttributeType;

function attribute([name, value]: [string, Attributes[string]]): onnx.IAttributeProto {
  const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
  if (typeof value === "number") return { name, i: value, type: INT };
  if (typeof value === "string") return { name, s: utf8(value), type: STRING };
  if (value instanceof OperatorGraph) return { name, g: value.proto(), type: GRAPH };
  if (typeof value[0] === "string") return { name, strings: (value as string[]).map(utf8), type: STRINGS };
  return { name, ints: [...value as number[]], type: INTS };
}

/** Puts a model together: each value gets a name by itself, and each weight other numbers, the same ones each time. */
export class OperatorGraph {
  readonly #prefix: string;
  readonly #inputs: OperatorInput[] = [];
  readonly #nodes: onnx.INodeProto[] = [];
  readonly #weights: onnx.ITensorProto[] = [];
  readonly #outputs: onnx.IValueInfoProto[] = [];
  #seed: number;
  #count = 0;

  /**
   * @param prefix of the names, where a graph lies within another one
   * @param seed of the weights' numbers
   */
  constructor(prefix: string = "", seed: number = 1) {
    this.#prefix = prefix;
    this.#seed = seed;
  }

  #name(kind: string): string {
    return `${this.#prefix}${kind}${this.#count++}`;
  }

  input(name: string, dtype: ModelDtype, shape: ModelShape, below?: number): string {
    this.#inputs.push({ name, dtype, shape, ...(below !== undefined && { below }) });
    return name;
  }

  output(name: string, dtype: ModelDtype, shape: ModelShape): this {
    this.#outputs.push(value(name, dtype, shape));
    return this;
  }

  /** A node; returns the name of its first output, which that of the others begins with. */
  add(opType: string, inputs: string[], attributes: Attributes = {}, { domain = "", outputs = 1 } = {}): string {
    const name = this.#name("x"), names = Array.from({ length: outputs }, (_, i) => i === 0 ? name : `${name}_${i}`);
    this.#nodes.push(node(opType, inputs, names, Object.entries(attributes).map(attribute), domain));
    return name;
  }

  /** A node of onnxruntime's own. */
  own(opType: string, inputs: string[], attributes: Attributes = {}, outputs: number = 1): string {
    return this.add(opType, inputs, attributes, { domain: "com.microsoft", outputs });
  }

  /** A tensor of these numbers. */
  constant(dtype: "float32" | "int64" | "uint8" | "int8" | "bool", dims: number[], values: readonly number[]): string {
    const arrays = { float32: Float32Array, uint8: Uint8Array, int8: Int8Array, bool: Uint8Array } as const;
    const data = dtype === "int64" ? BigInt64Array.from(values, BigInt) : arrays[dtype].from(values);
    return this.#initializer(dtype, dims, data);
  }

  /** A tensor of noise: floats that keep what is multiplied with them about as large as it was, or any bytes. */
  weight(dims: number[], dtype: "float32" | "float64" | "float16" | "bfloat16" | "uint8" | "int8" = "float32"): string {
    const size = dims.reduce((product, dim) => product * dim, 1), limit = Math.sqrt(3 / Math.max(...dims));
    const arrays = {
      float32: Float32Array,
      float64: Float64Array,
      float16: Float16Array,
      bfloat16: Uint16Array,
      uint8: Uint8Array,
      int8: Int8Array,
    } as const;
    const data = new arrays[dtype](size);
    for (let i = 0; i < size; i++) {
      this.#seed = Math.imul(this.#seed, 1664525) + 1013904223 | 0;
      const real = limit * this.#seed / 2 ** 31;
      data[i] = dtype === "bfloat16" ? toBFloat16(real) : data.BYTES_PER_ELEMENT === 1 ? this.#seed >>> 24 : real;
    }
    return this.#initializer(dtype, dims, data);
  }

  #initializer(dtype: ModelDtype, dims: number[], data: ArrayBufferView): string {
    const name = this.#name("w"), rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.#weights.push({ name, dims, dataType: DTYPES[dtype], rawData });
    return name;
  }

  proto(): onnx.IGraphProto {
    const inputs = this.#inputs.map(({ name, dtype, shape }) => value(name, dtype, shape));
    return graphProto(`${this.#prefix}graph`, { inputs, outputs: this.#outputs, nodes: this.#nodes }, this.#weights);
  }

  /** The whole model. */
  model(): OperatorModel {
    const { node: nodes, input: inputs, output: outputs } = this.proto();
    const options = { domains: { "com.microsoft": 1 }, initializers: this.#weights };
    const bytes = encodeModel({ inputs: inputs!, outputs: outputs!, nodes: nodes! }, options);
    return { bytes, inputs: this.#inputs };
  }
}
