import { encodeModel, type ModelDtype, type ModelShape, node, value } from "./proto.ts";

/** Declared type of a model's values. */
export interface ValueOptions {
  dtype?: ModelDtype;
  shape?: ModelShape;
}

/** `c = a + b`; by default float32 `[2]`. */
export function add(options: ValueOptions = {}): Uint8Array<ArrayBuffer> {
  const { dtype = "float32", shape = [2] } = options;
  return encodeModel({
    inputs: [value("a", dtype, shape), value("b", dtype, shape)],
    outputs: [value("c", dtype, shape)],
    nodes: [node("Add", ["a", "b"], ["c"])],
  });
}

/** `y = x` for any dtype, strings included. */
export function identity(dtype: ModelDtype = "float32", shape: ModelShape = [2]): Uint8Array<ArrayBuffer> {
  return encodeModel({
    inputs: [value("x", dtype, shape)],
    outputs: [value("y", dtype, shape)],
    nodes: [node("Identity", ["x"], ["y"])],
  });
}

/** `y = x + x` of a 0-dimensional float32. */
export function scalar(): Uint8Array<ArrayBuffer> {
  return double([]);
}

/** `y = x + x` of a float32 `[0, 3]`: values without elements. */
export function zeroSize(): Uint8Array<ArrayBuffer> {
  return double([0, 3]);
}

/** `y` int64 `[1, count]`: the indices at which `x`, float32 `["N"]`, is not zero. The output's size hangs on values. */
export function dynamicOutput(): Uint8Array<ArrayBuffer> {
  return encodeModel({
    inputs: [value("x", "float32", ["N"])],
    outputs: [value("y", "int64", [1, "count"])],
    nodes: [node("NonZero", ["x"], ["y"])],
  });
}

/** A recurrent step, float32: `y = x * state`, `next_state = state + x`; all of `shape`, by default `[2]`. */
export function state(shape: ModelShape = [2]): Uint8Array<ArrayBuffer> {
  return encodeModel({
    inputs: [value("x", "float32", shape), value("state", "float32", shape)],
    outputs: [value("y", "float32", shape), value("next_state", "float32", shape)],
    nodes: [node("Mul", ["x", "state"], ["y"]), node("Add", ["state", "x"], ["next_state"])],
  });
}

/** A running sum, int32 `[1, 1]`: `OUTPUT = INPUT + SUM`. */
export function accumulate(): Uint8Array<ArrayBuffer> {
  return encodeModel({
    inputs: [value("INPUT", "int32", [1, 1]), value("SUM", "int32", [1, 1])],
    outputs: [value("OUTPUT", "int32", [1, 1])],
    nodes: [node("Add", ["INPUT", "SUM"], ["OUTPUT"])],
  });
}

function double(shape: ModelShape): Uint8Array<ArrayBuffer> {
  return encodeModel({
    inputs: [value("x", "float32", shape)],
    outputs: [value("y", "float32", shape)],
    nodes: [node("Add", ["x", "x"], ["y"])],
  });
}
