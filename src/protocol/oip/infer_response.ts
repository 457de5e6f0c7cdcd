import type { DType } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { violation } from "../frames.ts";
import { encodeBody, type EncodedBody } from "./body.ts";
import { readDocument } from "./document.ts";
import { readOptionalText, readText } from "./fields.ts";
import { OipError } from "./oip_error.ts";
import { readTensors, type RegionPart, tensorText } from "./wire_tensor.ts";

/** An output of a response. */
export interface InferResponseOutput {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** `undefined`: it lies in shared memory. */
  readonly tensor: Tensor | undefined;
  /** Whether its bytes are behind the JSON. */
  readonly isBinary: boolean;
  /** Where in shared memory it lies. Not every server says it: Triton leaves it to the client to remember. */
  readonly part: RegionPart | undefined;
}

/** What a model answers. */
export interface InferResponse {
  readonly modelName: string;
  readonly modelVersion: string | undefined;
  /** The request's. */
  readonly id: string | undefined;
  readonly outputs: readonly InferResponseOutput[];
}

/**
 * A response as it is sent. Borrows the bytes of binary tensors.
 *
 * @throws {OipError} 400 for an output that is wanted as JSON, and has none
 */
export function encodeInferResponse(response: InferResponse): EncodedBody {
  const { modelName, modelVersion, id, outputs } = response, binary: Uint8Array<ArrayBuffer>[] = [];
  const texts = outputs.map((output) => tensorText("output", output, binary));
  const version = modelVersion === undefined ? "" : `,"model_version":${JSON.stringify(modelVersion)}`;
  const about = `"model_name":${JSON.stringify(modelName)}${version}${
    id === undefined ? "" : `,"id":${JSON.stringify(id)}`
  }`;
  return encodeBody(`{${about},"outputs":[${texts.join()}]}`, binary);
}

function readResponse(body: Uint8Array<ArrayBuffer>, headerLength: number | undefined): InferResponse {
  const what = "the response", document = readDocument(what, body, headerLength), { fields } = document;
  return {
    modelName: readText(what, "model_name", fields.model_name),
    modelVersion: readOptionalText(what, "model_version", fields.model_version),
    id: readOptionalText(what, "id", fields.id),
    outputs: readTensors(document, "outputs"),
  };
}

/**
 * Takes a response in. Its tensors borrow the body where their elements are aligned in it.
 *
 * @param headerLength bytes of the JSON, as the header says; all of the body without
 * @throws {WorkerError} WORKER_PROTOCOL
 */
export function decodeInferResponse(body: Uint8Array<ArrayBuffer>, headerLength: number | undefined): InferResponse {
  try {
    return readResponse(body, headerLength);
  } catch (error) {
    if (!(error instanceof OipError)) throw error;
    throw violation(error.message, { cause: error });
  }
}
