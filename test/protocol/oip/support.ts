import { Tensor } from "../../../src/tensor/tensor.ts";
import { decodeInferRequest, type InferInput, type InferRequest } from "../../../src/protocol/oip/infer_request.ts";

const encoder = new TextEncoder();

/** The bytes of pieces, of which texts are UTF-8. */
export function bytesOf(...pieces: readonly (string | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  const parts = pieces.map((piece) => typeof piece === "string" ? encoder.encode(piece) : piece);
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Bytes of float32. */
export function floatBytes(...values: readonly number[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Float32Array.from(values).buffer);
}

/** What is in the parts of a body that was encoded. */
export function joined({ headerLength, parts }: { headerLength: number | undefined; parts: readonly Uint8Array[] }): {
  readonly body: Uint8Array<ArrayBuffer>;
  readonly headerLength: number | undefined;
  readonly text: string;
} {
  return { body: bytesOf(...parts), headerLength, text: new TextDecoder().decode(parts[0]) };
}

/** A request that was read from the text of its JSON, and the bytes that follow it. */
export function decoded(text: string, ...binary: readonly Uint8Array[]): InferRequest {
  const json = encoder.encode(text);
  return decodeInferRequest(bytesOf(json, ...binary), binary.length === 0 ? undefined : json.length);
}

/** A request of one input. */
export function requestOf(input: Record<string, unknown>, more: Record<string, unknown> = {}): string {
  return JSON.stringify({ inputs: [{ name: "IN", shape: [2], datatype: "FP32", ...input }], ...more });
}

/** The one tensor of a request whose `data` is given as text. */
export function tensorOf(datatype: string, shape: readonly number[], data: string): Tensor {
  const shapeText = JSON.stringify(shape);
  const text = `{"inputs":[{"name":"IN","shape":${shapeText},"datatype":"${datatype}","data":${data}}]}`;
  return decoded(text).inputs[0]!.tensor!;
}

/** An input to send. */
export function inputOf(name: string, tensor: Tensor): InferInput {
  return { name, dtype: tensor.dtype, shape: tensor.shape, tensor, part: undefined };
}

/** A request to send, of all outputs in binary form. */
export function sending(inputs: readonly InferInput[], more: Partial<InferRequest> = {}): InferRequest {
  return {
    id: undefined,
    inputs,
    outputs: undefined,
    isBinaryByDefault: true,
    priority: 0,
    timeoutMicros: 0,
    sequence: undefined,
    ...more,
  };
}

/** A tensor of each dtype, with values at its limits. */
export const SAMPLES: readonly Tensor[] = [
  Tensor.from([true, false, true], [3], "bool"),
  Tensor.from([0, 255], [2], "uint8"),
  Tensor.from([0, 65535], [1, 2], "uint16"),
  Tensor.from([0, 4294967295], [2, 1], "uint32"),
  Tensor.from([0n, 2n ** 53n + 1n, 2n ** 64n - 1n], [3], "uint64"),
  Tensor.from([-128, 127], [2], "int8"),
  Tensor.from([-32768, 32767], [2], "int16"),
  Tensor.from([-2147483648, 2147483647], [2], "int32"),
  Tensor.from([-(2n ** 63n), -(2n ** 53n) - 1n, -1n, 0n, 1n, 2n ** 32n, 2n ** 63n - 1n], [7], "int64"),
  Tensor.from([1.5, -0, 65504], [3], "float16"),
  Tensor.from([1, 2.5, -3], [3], "bfloat16"),
  Tensor.from([0.1, -0, 3.4028234663852886e38, 1e-45], [2, 2], "float32"),
  Tensor.from([0.1, -0, 1.7976931348623157e308, 5e-324, 2 ** 60], [5], "float64"),
  Tensor.from(["", "köln", "\u{1f600}", '"\\\n', "\ufeffa"], [5], "string"),
];

/** What is the same of two tensors, whatever they lie in. */
export function contentOf({ dtype, shape, data }: Tensor): unknown {
  return { dtype, shape: [...shape], data };
}
