import type { DType } from "../../tensor/dtype.ts";
import { badRequest, showValue } from "./oip_error.ts";

const DATATYPES: Readonly<Record<DType, string>> = Object.freeze({
  bool: "BOOL",
  uint8: "UINT8",
  uint16: "UINT16",
  uint32: "UINT32",
  uint64: "UINT64",
  int8: "INT8",
  int16: "INT16",
  int32: "INT32",
  int64: "INT64",
  float16: "FP16",
  float32: "FP32",
  float64: "FP64",
  bfloat16: "BF16",
  string: "BYTES",
});
const DTYPES = new Map<unknown, DType>(
  Object.entries(DATATYPES).map(([dtype, datatype]) => [datatype, dtype as DType]),
);

/** The protocol's name of a dtype. */
export function datatypeOf(dtype: DType): string {
  return DATATYPES[dtype];
}

/** The dtype of the protocol's name, where it is one. */
export function knownDatatype(datatype: unknown): DType | undefined {
  return DTYPES.get(datatype);
}

/** The dtype of the protocol's name. @param what is of it @throws {OipError} 400, naming what is known */
export function dtypeOfDatatype(datatype: unknown, what: string = "a tensor"): DType {
  const dtype = DTYPES.get(datatype);
  if (dtype !== undefined) return dtype;
  const known = [...DTYPES.keys()].join(", ");
  throw badRequest(`Cannot read ${what}: its datatype is ${showValue(datatype)}, one of ${known} wanted`);
}
