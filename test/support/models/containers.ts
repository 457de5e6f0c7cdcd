import onnxProto, { type onnx } from "onnx-proto";
import { encodeModel, node, tensorType, value } from "./proto.ts";

/** The ordinary output that each of these models has beside the other one: `y = x`, float32 `["N", 2]`. */
const X = value("x", "float32", ["N", 2]);
const Y = value("y", "float32", ["N", 2]);
const COPY = node("Identity", ["x"], ["y"]);

/** `rows`: a sequence of the rows of `x`, float32 `[1, 2]` each, beside the tensor `y = x` `["N", 2]`. */
export function sequenceOutput(): Uint8Array<ArrayBuffer> {
  const rows = { name: "rows", type: { sequenceType: { elemType: tensorType("float32", [1, 2]) } } };
  return encodeModel({ inputs: [X], outputs: [Y, rows], nodes: [COPY, node("SplitToSequence", ["x"], ["rows"])] });
}

/**
 * `maps`: a sequence of one map a row of `x`, from the key of a column to its value, beside the tensor `y = x`
 * `["N", 2]`. The keys are 10 and 20, or "left" and "right".
 */
export function mapOutput(keys: "int64" | "string" = "string"): Uint8Array<ArrayBuffer> {
  const { INTS, STRINGS } = onnxProto.onnx.AttributeProto.AttributeType;
  const labels: onnx.IAttributeProto = keys === "int64" ? { name: "classlabels_int64s", ints: [10, 20], type: INTS } : {
    name: "classlabels_strings",
    strings: ["left", "right"].map((s) => new TextEncoder().encode(s)),
    type: STRINGS,
  };
  const keyType = onnxProto.onnx.TensorProto.DataType[keys === "int64" ? "INT64" : "STRING"];
  const mapType = { keyType, valueType: tensorType("float32", []) };
  const maps = { name: "maps", type: { sequenceType: { elemType: { mapType } } } };
  const zip = node("ZipMap", ["x"], ["maps"], [labels], "ai.onnx.ml");
  return encodeModel({ inputs: [X], outputs: [Y, maps], nodes: [COPY, zip] }, { domains: { "ai.onnx.ml": 3 } });
}

/** `maybe`: an optional that holds `x`, or nothing if `empty`, beside the tensor `y = x`; float32 `["N", 2]`. */
export function optionalOutput(empty: boolean = false): Uint8Array<ArrayBuffer> {
  const type = tensorType("float32", ["N", 2]);
  const typeAttribute = { name: "type", tp: type, type: onnxProto.onnx.AttributeProto.AttributeType.TYPE_PROTO };
  const optional = empty ? node("Optional", [], ["maybe"], [typeAttribute]) : node("Optional", ["x"], ["maybe"]);
  const maybe = { name: "maybe", type: { optionalType: { elemType: type } } };
  return encodeModel({ inputs: [X], outputs: [Y, maybe], nodes: [COPY, optional] });
}

/** `y`, float32, is the element at `index` (int64 scalar) of the input `items`, a sequence of float32 tensors. */
export function sequenceInput(): Uint8Array<ArrayBuffer> {
  const items = { name: "items", type: { sequenceType: { elemType: tensorType("float32") } } };
  return encodeModel({
    inputs: [items, value("index", "int64", [])],
    outputs: [{ name: "y", type: tensorType("float32") }],
    nodes: [node("SequenceAt", ["items", "index"], ["y"])],
  });
}
