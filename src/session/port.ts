import { rangeError, typeError } from "../errors.ts";
import type { ValueInfo } from "../ort/type_info.ts";
import { type DType, DTYPES, elementByteLength, onnxElementType } from "../tensor/dtype.ts";
import type { Extent } from "./expected_extents.ts";

/** One input or output, with what a run needs to know of it resolved. */
export interface Port {
  readonly info: ValueInfo;
  readonly name: string;
  /** Where its name lies as a C string. */
  readonly nameAddress: bigint;
  /** The dtype of its tensors; `undefined` where it holds none that Coload can. */
  readonly dtype: DType | undefined;
  /** ONNX's number of that dtype; 0 without one. */
  readonly elementType: number;
  /** Whether it can be an output: a tensor, or an optional one, of a dtype that Coload has. */
  readonly fetchable: boolean;
  /** What its tensors are, where the model fixes their shape and dtype; no more once an output was found to differ. */
  fixed: Extent | undefined;
}

const OPTIONAL_TENSOR = /^optional<tensor<(.*)>>$/;

function fixedExtent({ kind, shape }: ValueInfo, dtype: DType | undefined): Extent | undefined {
  if (kind !== "tensor" || dtype === undefined || dtype === "string") return undefined;
  if (shape.length === 0) return undefined; // a scalar, or a rank that the model leaves open: onnxruntime cannot tell
  let byteLength = elementByteLength(dtype);
  for (const dim of shape) {
    if (typeof dim !== "number" || dim < 0) return undefined;
    byteLength *= dim;
  }
  return { shape: shape as readonly number[], byteLength };
}

/** Resolves what a run needs to know of an input or output. */
export function describePort(info: ValueInfo, nameAddress: bigint): Port {
  const held = info.kind === "optional" ? OPTIONAL_TENSOR.exec(info.dtype)?.[1] : info.dtype;
  const dtype = held !== undefined && DTYPES.includes(held as DType) ? held as DType : undefined;
  const elementType = dtype === undefined ? 0 : onnxElementType(dtype);
  const fetchable = dtype !== undefined && (info.kind === "tensor" || info.kind === "optional");
  const fixed = fixedExtent(info, dtype);
  return { info, name: info.name, nameAddress, dtype, elementType, fetchable, fixed };
}

/** Whether a shape is one that the model declares. */
export function matchesShape(port: Port, shape: readonly number[]): boolean {
  const declared = port.info.shape;
  if (declared.length === 0) return true; // a scalar, or a rank that the model leaves open: onnxruntime cannot tell
  if (declared.length !== shape.length) return false;
  for (let i = 0; i < shape.length; i++) {
    const size = declared[i]!;
    if (typeof size === "number" && size >= 0 && size !== shape[i]) return false;
  }
  return true;
}

/** @throws {RangeError} INVALID_SHAPE unless the shape is one that the model declares */
export function checkShape(port: Port, shape: readonly number[]): void {
  if (matchesShape(port, shape)) return;
  const wanted = `[${port.info.shape.map((size) => size === -1 ? "?" : size).join(", ")}]`;
  throw rangeError("INVALID_SHAPE", `Cannot feed "${port.name}": shape ${wanted} wanted, [${shape.join(", ")}] found`);
}

/**
 * The index of an output that is wanted by its name.
 *
 * @param index where it was found, if it was
 * @throws {TypeError} UNKNOWN_OUTPUT, or NOT_A_TENSOR naming what it is
 */
export function outputIndex(outputs: readonly Port[], index: number | undefined, name: string): number {
  if (index === undefined) {
    const known = outputs.map((port) => port.name).join(", ");
    throw typeError("UNKNOWN_OUTPUT", `Cannot fetch output "${name}": the model's outputs are ${known}`);
  }
  const { info, fetchable } = outputs[index]!;
  if (fetchable) return index;
  throw typeError("NOT_A_TENSOR", `Cannot fetch output "${name}": a tensor wanted, ${info.dtype} found`);
}
