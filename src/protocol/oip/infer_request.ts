import { typeError } from "../../errors.ts";
import type { DType } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkByteLength } from "./binary_data.ts";
import { encodeBody, type EncodedBody } from "./body.ts";
import { readDocument, type WireDocument } from "./document.ts";
import {
  type Fields,
  isThere,
  readCount,
  readFields,
  readFlag,
  readList,
  readOptionalText,
  readParameters,
  readText,
} from "./fields.ts";
import { badRequest, OipError, quote } from "./oip_error.ts";
import { readSequence, sequenceParameters, type SequencePlace } from "./sequence_parameters.ts";
import { partParameters, readPart, readTensors, refuseDuplicates, type RegionPart, tensorText } from "./wire_tensor.ts";

export type { RegionPart } from "./wire_tensor.ts";

/** An input of a request; its elements are in exactly one of `tensor` and `part`. */
export interface InferInput {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly tensor: Tensor | undefined;
  readonly part: RegionPart | undefined;
}

/** An output that a request asks for. */
export interface InferOutput {
  readonly name: string;
  /** Whether as bytes behind the response's JSON. */
  readonly isBinary: boolean;
  /** Where it is to be written, in place of the response. */
  readonly part: RegionPart | undefined;
}

/** What a client asks a model for. */
export interface InferRequest {
  /** Comes back with the response. */
  readonly id: string | undefined;
  readonly inputs: readonly InferInput[];
  /** `undefined`: all of them. */
  readonly outputs: readonly InferOutput[] | undefined;
  /** Whether outputs that are not named are wanted as bytes behind the JSON. */
  readonly isBinaryByDefault: boolean;
  /** 1 is the first; 0 where nothing is said. */
  readonly priority: number;
  /** How long it may wait before it runs; 0 where nothing is said. */
  readonly timeoutMicros: number;
  /** `undefined`: it stands alone. */
  readonly sequence: SequencePlace | undefined;
}

const WHAT = "the request";

/** Whether a parameter asks for something, and does not only say that nothing is wanted. */
function isAskedFor(found: unknown): boolean {
  return isThere(found) && found !== false && found !== 0 && found !== "";
}

/** Refuses an input whose elements are not in the body, unless they are in shared memory, and as many as it says. */
function checkElsewhere({ name, dtype, shape, part }: InferInput): void {
  const what = `input ${quote(name)}`;
  if (part === undefined) {
    throw badRequest(`Cannot read ${what}: data, binary_data_size or shared_memory_region wanted, none found`);
  }
  checkByteLength({ what, dtype, shape }, part.byteLength);
}

function readInputs(document: WireDocument): InferInput[] {
  return readTensors(document, "inputs").map(({ name, dtype, shape, tensor, part }) => {
    const input: InferInput = { name, dtype, shape, tensor, part };
    if (tensor === undefined) checkElsewhere(input);
    return input;
  });
}

function readOutput(found: unknown, index: number, isBinaryByDefault: boolean): InferOutput {
  const fields = readFields(`output ${index}`, found), name = readText(`output ${index}`, "name", fields.name);
  const what = `output ${quote(name)}`, parameters = readParameters(what, fields.parameters);
  if (isAskedFor(parameters.classification)) {
    throw new OipError(501, `Cannot answer with ${what}: classification is not supported`);
  }
  const asked = readFlag(what, "binary_data", parameters.binary_data), part = readPart(what, parameters);
  if (asked === true && part !== undefined) {
    throw badRequest(`Cannot answer with ${what}: both binary_data and shared_memory_region are asked for`);
  }
  return { name, isBinary: asked ?? isBinaryByDefault, part };
}

function readOutputs(found: unknown, isBinaryByDefault: boolean): readonly InferOutput[] | undefined {
  if (!isThere(found)) return undefined;
  const outputs = readList(WHAT, "outputs", found).map((output, i) => readOutput(output, i, isBinaryByDefault));
  refuseDuplicates(WHAT, outputs);
  return outputs.length === 0 ? undefined : outputs;
}

/**
 * Takes a request in. Its tensors borrow the body where their elements are aligned in it.
 *
 * @param headerLength bytes of the JSON, as the header says; all of the body without
 * @throws {OipError} 400 for what is wrong with it, 501 for what is not supported here
 */
export function decodeInferRequest(body: Uint8Array<ArrayBuffer>, headerLength: number | undefined): InferRequest {
  const document = readDocument(WHAT, body, headerLength), { fields } = document;
  const parameters = readParameters(WHAT, fields.parameters);
  const isBinaryByDefault = readFlag(WHAT, "binary_data_output", parameters.binary_data_output) ?? false;
  return {
    id: readOptionalText(WHAT, "id", fields.id),
    inputs: readInputs(document),
    outputs: readOutputs(fields.outputs, isBinaryByDefault),
    isBinaryByDefault,
    priority: readCount(WHAT, "priority", parameters.priority) ?? 0,
    timeoutMicros: readCount(WHAT, "timeout", parameters.timeout) ?? 0,
    sequence: readSequence(WHAT, parameters),
  };
}

function describeOutput({ name, isBinary, part }: InferOutput): unknown {
  const parameters = { binary_data: isBinary && part === undefined, ...(part !== undefined && partParameters(part)) };
  return { name, parameters };
}

function describeRequest({ isBinaryByDefault, priority, timeoutMicros, sequence }: InferRequest): Fields | undefined {
  const parameters = {
    ...(isBinaryByDefault && { binary_data_output: true }),
    ...(priority > 0 && { priority }),
    ...(timeoutMicros > 0 && { timeout: timeoutMicros }),
    ...(sequence !== undefined && sequenceParameters(sequence)),
  };
  return Object.keys(parameters).length === 0 ? undefined : parameters;
}

/**
 * A request as it is sent. Borrows the bytes of its tensors, which are sent behind the JSON.
 *
 * @param options `isJson`: put them into the JSON, for servers that take no others
 * @throws {TypeError} UNSUPPORTED for tensors that have no JSON
 */
export function encodeInferRequest(request: InferRequest, options: { readonly isJson?: boolean } = {}): EncodedBody {
  const { id, inputs, outputs } = request,
    parameters = describeRequest(request),
    binary: Uint8Array<ArrayBuffer>[] = [];
  const texts = inputs.map((input) => inputText({ ...input, isBinary: !options.isJson }, binary));
  const fields = [
    ...(id === undefined ? [] : [`"id":${JSON.stringify(id)}`]),
    `"inputs":[${texts.join()}]`,
    ...(outputs === undefined ? [] : [`"outputs":${JSON.stringify(outputs.map(describeOutput))}`]),
    ...(parameters === undefined ? [] : [`"parameters":${JSON.stringify(parameters)}`]),
  ];
  return encodeBody(`{${fields.join()}}`, binary);
}

function inputText(input: InferInput & { readonly isBinary: boolean }, binary: Uint8Array<ArrayBuffer>[]): string {
  try {
    return tensorText("input", input, binary);
  } catch (cause) {
    if (!(cause instanceof OipError)) throw cause;
    throw typeError("UNSUPPORTED", cause.message, { cause });
  }
}
