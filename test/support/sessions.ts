import { InferenceSession } from "../../src/session/inference_session.ts";
import type { NumericDType } from "../../src/tensor/dtype.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

/** A session of a model made on the spot. */
export function open(model: Uint8Array): Promise<InferenceSession> {
  return InferenceSession.create(model);
}

/** A heap tensor of float32, by default of one dimension. */
export function floats(values: readonly number[], shape: readonly number[] = [values.length]): Tensor<"float32"> {
  return Tensor.from(values, shape, "float32");
}

/** The same in native memory. */
export function nativeFloats(
  values: readonly number[],
  shape: readonly number[] = [values.length],
): Tensor<"float32"> {
  const tensor = Tensor.zeros("float32", shape, { storage: "native" });
  tensor.data.set(values);
  return tensor;
}

/** Native zeros. */
export function nativeZeros<D extends NumericDType>(dtype: D, shape: readonly number[]): Tensor<D> {
  return Tensor.zeros(dtype, shape, { storage: "native" });
}

/** The feeds of the `slow` model: each iteration takes about a millisecond. */
export function slowFeeds(iterations: number, size: number = 256): { x: Tensor; iterations: Tensor } {
  const x = Float32Array.from({ length: size }, (_, i) => i);
  return { x: Tensor.from(x), iterations: Tensor.from([iterations], [], "int64") };
}

/** What a code-carrying rejection looks like, for `assert.rejects` and `assert.throws`. */
export function failure(
  name: string,
  code: string,
  message?: RegExp,
): { name: string; code: string; message?: RegExp } {
  return { name, code, ...(message && { message }) };
}
