import { ffi, type Pointer } from "../../ffi/mod.ts";
import { type DType, dtypeOfOnnx } from "../tensor/dtype.ts";
import { ort } from "./environment.ts";
import { count, pointerIn, scratch } from "./scratch.ts";
import { check } from "./status.ts";

/** An input or output of a model. */
export interface ValueInfo {
  /** Its name, the key in feeds and results. */
  name: string;
  /** What it is. Only tensors can be fed and fetched. */
  kind: "tensor" | "sequence" | "map" | "optional";
  /** The elements' type; for what is no tensor a description such as `sequence<tensor<float32>>`. */
  dtype: DType | (string & Record<never, never>);
  /** Sizes; a name for a symbolic dimension, -1 for one that has none. Empty for a scalar and for what is no tensor. */
  shape: readonly (number | string)[];
}

type TypeDescription = Omit<ValueInfo, "name">;

const ONNX_TYPE_TENSOR = 1, ONNX_TYPE_SEQUENCE = 2, ONNX_TYPE_MAP = 3, ONNX_TYPE_SPARSE = 5, ONNX_TYPE_OPTIONAL = 6;
const UNSUPPORTED: Readonly<Record<number, string>> = {
  14: "complex64",
  15: "complex128",
  17: "float8e4m3fn",
  18: "float8e4m3fnuz",
  19: "float8e5m2",
  20: "float8e5m2fnuz",
  21: "uint4",
  22: "int4",
};

/** The dtype of an element type of ONNX; a description for one that Coload has no array for. */
export function dtypeName(elementType: number): DType | (string & Record<never, never>) {
  return dtypeOfOnnx(elementType) ?? UNSUPPORTED[elementType] ?? `element type ${elementType}`;
}

function describeTensor(info: Pointer): TypeDescription {
  const { api } = ort(), { a, i32 } = scratch(), doing = "read a tensor's type";
  const tensor = (check(api.CastTypeInfoToTensorInfo(info, a), doing), pointerIn()!);
  const elementType = (check(api.GetTensorElementType(tensor, a), doing), i32[0]!);
  const rank = (check(api.GetDimensionsCount(tensor, a), doing), count());
  const sizes = new BigInt64Array(Math.max(1, rank)), names = new BigUint64Array(Math.max(1, rank));
  check(api.GetDimensions(tensor, sizes, BigInt(rank)), doing);
  check(api.GetSymbolicDimensions(tensor, names, BigInt(rank)), doing);
  const shape = Array.from({ length: rank }, (_, i) => {
    const size = Number(sizes[i]), name = size < 0 ? ffi.pointer(names[i]!) : null;
    return name === null ? size : ffi.string(name) || size;
  });
  return { kind: "tensor", dtype: dtypeName(elementType), shape: Object.freeze(shape) };
}

/** The description of an element type that is itself a type, which it releases. */
function nested(status: Pointer | null): string {
  check(status, "read a type");
  const info = pointerIn()!, { kind, dtype } = describeType(info);
  ort().api.ReleaseTypeInfo(info);
  return kind === "tensor" ? `tensor<${dtype}>` : dtype;
}

function describeType(info: Pointer): TypeDescription {
  const { api } = ort(), { a, i32 } = scratch(), doing = "read a type";
  const type = (check(api.GetOnnxTypeFromTypeInfo(info, a), doing), i32[0]!);
  switch (type) {
    case ONNX_TYPE_TENSOR:
      return describeTensor(info);
    case ONNX_TYPE_SEQUENCE: {
      const sequence = (check(api.CastTypeInfoToSequenceTypeInfo(info, a), doing), pointerIn()!);
      return { kind: "sequence", dtype: `sequence<${nested(api.GetSequenceElementType(sequence, a))}>`, shape: [] };
    }
    case ONNX_TYPE_MAP: {
      const map = (check(api.CastTypeInfoToMapTypeInfo(info, a), doing), pointerIn()!);
      const key = (check(api.GetMapKeyType(map, a), doing), dtypeName(i32[0]!));
      return { kind: "map", dtype: `map<${key}, ${nested(api.GetMapValueType(map, a))}>`, shape: [] };
    }
    case ONNX_TYPE_OPTIONAL: {
      const optional = (check(api.CastTypeInfoToOptionalTypeInfo(info, a), doing), pointerIn()!);
      return {
        kind: "optional",
        dtype: `optional<${nested(api.GetOptionalContainedTypeInfo(optional, a))}>`,
        shape: [],
      };
    }
    default:
      return { kind: "tensor", dtype: type === ONNX_TYPE_SPARSE ? "sparse tensor" : `type ${type}`, shape: [] };
  }
}

/** Which of a session's values. */
export type ValueGroup = "Input" | "Output" | "OverridableInitializer";

/** Describes a session's inputs, outputs, or initializers that a feed may replace. */
export function describeValues(session: Pointer, group: ValueGroup): readonly ValueInfo[] {
  const { api, allocator } = ort(), { a } = scratch(), doing = "describe the session";
  const length = (check(api[`SessionGet${group}Count`](session, a), doing), count());
  return Object.freeze(Array.from({ length }, (_, i) => {
    check(api[`SessionGet${group}Name`](session, BigInt(i), allocator, a), doing);
    const text = pointerIn()!, name = ffi.string(text);
    check(api.AllocatorFree(allocator, text), doing);
    check(api[`SessionGet${group}TypeInfo`](session, BigInt(i), a), doing);
    const info = pointerIn()!, description = describeType(info);
    api.ReleaseTypeInfo(info);
    return Object.freeze({ name, ...description });
  }));
}
