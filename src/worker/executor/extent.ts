import { rangeError } from "../../errors.ts";
import type { TensorDescription } from "../../protocol/description.ts";
import { dtypeOfOnnx, elementByteLength } from "../../tensor/dtype.ts";

/** Bytes that are not the client's. */
export function outside(what: string, { place, byteOffset, byteLength }: TensorDescription): RangeError {
  const message =
    `Cannot use ${what}: bytes of the client's own memory wanted, place ${place}, offset ${byteOffset} and ` +
    `length ${byteLength} found`;
  return rangeError("OUT_OF_RANGE", message);
}

/** @throws {RangeError} unless the bytes are those of the dtype and shape */
export function checkExtent(name: string, { elementType, shape, byteLength }: TensorDescription): void {
  const elementBytes = elementByteLength(dtypeOfOnnx(elementType) ?? "string");
  const needed = shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, elementBytes);
  if (needed === byteLength) return;
  throw rangeError("INVALID_LENGTH", `Cannot use "${name}": ${needed} bytes wanted for its shape, ${byteLength} found`);
}
