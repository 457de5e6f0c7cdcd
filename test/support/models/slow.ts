import onnxProto from "onnx-proto";
import { encodeModel, floats, graphProto, int64s, node, value } from "./proto.ts";

/**
 * A run that lasts as long as the caller wants: `iterations` (int64 scalar) products of two `size` x `size` matrices in
 * a Loop, so that a run can be stopped between any two of them. `x` and `y` are float32 `[size]`; `y` is `x` rotated
 * to the right by `iterations` places, exactly: `y[(i + iterations) % size] === x[i]`.
 */
export function slow(size: number = 256): Uint8Array<ArrayBuffer> {
  const rotation = new Float32Array(size * size);
  for (let row = 0; row < size; row++) rotation[row * size + (row + 1) % size] = 1;
  const body = graphProto("body", {
    inputs: [value("i", "int64", []), value("go_on", "bool", []), value("before", "float32", [size, size])],
    outputs: [value("still_go_on", "bool", []), value("after", "float32", [size, size])],
    nodes: [node("Identity", ["go_on"], ["still_go_on"]), node("MatMul", ["before", "rotation"], ["after"])],
  });
  const bodyAttribute = { name: "body", g: body, type: onnxProto.onnx.AttributeProto.AttributeType.GRAPH };
  return encodeModel({
    inputs: [value("x", "float32", [size]), value("iterations", "int64", [])],
    outputs: [value("y", "float32", [size])],
    nodes: [
      node("Expand", ["x", "square"], ["first"]),
      node("Loop", ["iterations", "", "first"], ["last"], [bodyAttribute]),
      node("Gather", ["last", "zero"], ["y"]),
    ],
  }, {
    initializers: [
      floats("rotation", [size, size], rotation),
      int64s("square", [2], [size, size]),
      int64s("zero", [], [0]),
    ],
  });
}

/**
 * One product of two `size` x `size` matrices filled with `x`: a single node that nothing can stop. `x` and `y` are
 * float32 scalars, `y = size * x * x`. Needs 3 times `4 * size * size` bytes of memory.
 */
export function bigMatMul(size: number): Uint8Array<ArrayBuffer> {
  return encodeModel({
    inputs: [value("x", "float32", [])],
    outputs: [value("y", "float32", [])],
    nodes: [
      node("Expand", ["x", "square"], ["filled"]),
      node("MatMul", ["filled", "filled"], ["product"]),
      node("GatherND", ["product", "corner"], ["y"]),
    ],
  }, { initializers: [int64s("square", [2], [size, size]), int64s("corner", [2], [0, 0])] });
}

/** A chain of `count` additions of 1, float32 `["N"]`: `y = x + count`. Creating its session takes time, running little. */
export function manyNodes(count: number): Uint8Array<ArrayBuffer> {
  const name = (index: number): string => index === 0 ? "x" : index === count ? "y" : `x${index}`;
  return encodeModel({
    inputs: [value("x", "float32", ["N"])],
    outputs: [value("y", "float32", ["N"])],
    nodes: Array.from({ length: count }, (_, index) => node("Add", [name(index), "one"], [name(index + 1)])),
  }, { initializers: [floats("one", [1], [1])] });
}
