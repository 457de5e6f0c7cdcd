import { decodeBinaryData } from "../../protocol/oip/binary_data.ts";
import type { InferRequest } from "../../protocol/oip/infer_request.ts";
import { OipError } from "../../protocol/oip/oip_error.ts";
import type { RemoteModel } from "../../protocol/remote_model.ts";
import type { Port } from "../../session/port.ts";
import { type DType, elementByteLength, isDType } from "../../tensor/dtype.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** A request whose whole body is the one input of a model: its shape follows from the model and the bytes. */
export function decodeRawBody(body: Uint8Array<ArrayBuffer>, { inputs }: RemoteModel): InferRequest {
  const [input] = inputs, dtype = input?.info.dtype;
  if (inputs.length !== 1 || dtype === undefined || !isDType(dtype)) {
    throw new OipError(400, `A raw body is for models of one tensor: this one has ${inputs.length} inputs`);
  }
  const what = `input "${input!.name}"`;
  const tensor = dtype === "string"
    ? Tensor.from([decodeText(body)], openSizes(input!, 1), "string")
    : decodeBinaryData({ what, dtype, shape: openSizes(input!, body.length / elementByteLength(dtype)) }, body);
  const { shape } = tensor;
  return {
    id: undefined,
    inputs: [{ name: input!.name, dtype: dtype as DType, shape, tensor, part: undefined }],
    outputs: undefined,
    isBinaryByDefault: true,
    priority: 0,
    timeoutMicros: 0,
    sequence: undefined,
  };
}

/** The model's shape, with so many elements. */
function openSizes({ name, info: { shape } }: Port, elements: number): readonly number[] {
  const open = shape.filter((size) => typeof size !== "number" || size < 0);
  const known = shape.reduce<number>(
    (product, size) => typeof size === "number" && size >= 0 ? product * size : product,
    1,
  );
  const rest = elements / known;
  if (open.length > 1 || !Number.isSafeInteger(rest) || (open.length === 0 && rest !== 1)) {
    throw new OipError(
      400,
      `A raw body of ${elements} elements fits no shape of input "${name}": [${shape.join(", ")}]`,
    );
  }
  return Object.freeze(shape.map((size) => typeof size === "number" && size >= 0 ? size : rest));
}

function decodeText(body: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch (cause) {
    throw new OipError(400, "The raw body is no text of UTF-8", { cause });
  }
}
