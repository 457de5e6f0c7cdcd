/** Models that are just large enough to be worth sharing, each with something odd about it. */
import { writeFileSync } from "node:fs";
import onnxProto, { type onnx } from "onnx-proto";
import {
  encodeModel,
  floats,
  type GraphParts,
  graphProto,
  intAttribute,
  type ModelOptions,
  node,
  value,
} from "../../support/models/proto.ts";

const { INTS, GRAPH } = onnxProto.onnx.AttributeProto.AttributeType;

/** Rows and columns of the weights. */
export const WIDTH = 600;

/** `W`, float32 `[600, 600]`: 1.44 MB of numbers, the same ones each time. */
export function weights(name: string = "W", width: number = WIDTH): onnx.ITensorProto {
  return floats(
    name,
    [width, width],
    Float32Array.from({ length: width * width }, (_, i) => (i * 31 % 997) / 9970 - 0.05),
  );
}

/** A model of some parts beside `y = x W`, float32 `[rows, 600]`. */
export function heavy(
  parts: Partial<GraphParts> = {},
  { rows = "batch", initializers = [], ...options }: ModelOptions & { rows?: number | string } = {},
): Uint8Array<ArrayBuffer> {
  const { inputs = [], outputs = [], nodes = [] } = parts;
  return encodeModel({
    inputs: [value("x", "float32", [rows, WIDTH]), ...inputs],
    outputs: [value("y", "float32", [rows, WIDTH]), ...outputs],
    nodes: [node("MatMul", ["x", "W"], ["y"]), ...nodes],
  }, { ...options, initializers: [weights(), ...initializers] });
}

/** `y = x W` and `r`, numbers that are others at each run. */
export function random(): Uint8Array<ArrayBuffer> {
  return heavy({
    outputs: [value("r", "float32", ["batch", WIDTH])],
    nodes: [node("RandomUniformLike", ["x"], ["r"])],
  });
}

/** Metadata of every kind, symbolic dimensions, two outputs, and the input `scale` that may be left out. */
export function wordy(): Uint8Array<ArrayBuffer> {
  return heavy({
    inputs: [value("ids", "int64", ["batch", "length"]), value("scale", "float32", [WIDTH])],
    outputs: [value("scaled", "float32", ["batch", WIDTH]), value("same", "int64", ["batch", "length"])],
    nodes: [node("Mul", ["x", "scale"], ["scaled"]), node("Identity", ["ids"], ["same"])],
  }, {
    initializers: [floats("scale", [WIDTH], new Float32Array(WIDTH).fill(3))],
    header: {
      producerName: "tests",
      producerVersion: "1.2",
      domain: "com.example",
      modelVersion: 7,
      docString: "says – a lot",
      metadataProps: [{ key: "author", value: "Ada" }, { key: "empty", value: "" }],
    },
  });
}

/** `y` is a convolution of `x`, float32 `[1, 16, "H", "W"]`: its activations are far larger than its weights. */
export function convolution(parts: Partial<GraphParts> = {}): Uint8Array<ArrayBuffer> {
  const { inputs = [], outputs = [], nodes = [] } = parts;
  const kernel = floats("K", [16, 16, 3, 3], Float32Array.from({ length: 2304 }, (_, i) => (i % 7 - 3) / 50));
  const pads = { name: "pads", ints: [1, 1, 1, 1], type: INTS };
  return encodeModel({
    inputs: [value("x", "float32", [1, 16, "H", "W"]), ...inputs],
    outputs: [value("y", "float32", [1, 1, 1, 1]), ...outputs],
    nodes: [
      node("Conv", ["x", "K"], ["a"], [pads]),
      node("Conv", ["a", "K"], ["b"], [pads]),
      node("ReduceSum", ["b"], ["y"], [intAttribute("keepdims", 1)]),
      ...nodes,
    ],
  }, { initializers: [kernel] });
}

/** The same, and `rounds`, int64 scalar, of a loop that goes on after it: each takes some microseconds. */
export function slowConvolution(): Uint8Array<ArrayBuffer> {
  const body = graphProto("body", {
    inputs: [value("i", "int64", []), value("more", "bool", []), value("sum", "float32", [1, 1, 1, 1])],
    outputs: [value("go", "bool", []), value("next", "float32", [1, 1, 1, 1])],
    nodes: [node("Identity", ["more"], ["go"]), node("Identity", ["sum"], ["next"])],
  });
  const loop = node("Loop", ["rounds", "", "y"], ["last"], [{ name: "body", g: body, type: GRAPH }]);
  return convolution({
    inputs: [value("rounds", "int64", [])],
    outputs: [value("last", "float32", [1, 1, 1, 1])],
    nodes: [loop],
  });
}

/** Writes a model, and returns its path. */
export function write(path: string, model: Uint8Array): string {
  writeFileSync(path, model);
  return path;
}
