import type { CallOptions } from "../../protocol/call_options.ts";
import type { Priority } from "../../protocol/lane_layout.ts";
import { encodeBinaryData } from "../../protocol/oip/binary_data.ts";
import {
  decodeInferRequest,
  type InferInput,
  type InferOutput,
  type InferRequest,
} from "../../protocol/oip/infer_request.ts";
import { encodeInferResponse, type InferResponseOutput } from "../../protocol/oip/infer_response.ts";
import { OipError } from "../../protocol/oip/oip_error.ts";
import type { RemoteModel } from "../../protocol/remote_model.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Call, Reply } from "./call.ts";
import type { ClientRegions } from "./client_regions.ts";
import { decodeRawBody } from "./raw_body.ts";
import { served } from "./region_calls.ts";
import { readTensor } from "./region_tensor.ts";
import type { ServedCalls } from "./served_calls.ts";

/** The header that says how many bytes of the body are JSON. */
const HEADER_LENGTH = "inference-header-content-length";

/** Answers inferences. */
export class Inference {
  readonly #calls: ServedCalls;
  readonly #regions: ClientRegions | undefined;

  /** @param regions `undefined` where callers may name none */
  constructor(calls: ServedCalls, regions: ClientRegions | undefined) {
    this.#calls = calls;
    this.#regions = regions;
  }

  /** Runs the model that the path names on what the body says. */
  async infer(call: Call): Promise<Reply> {
    const { params: { model, version }, headers, signal } = call, entry = this.#calls.find(model!, version);
    const body = await call.body(), remote = await this.#calls.remote(entry);
    const request = decode(body, headers[HEADER_LENGTH] as string | undefined, remote);
    using _held = this.#hold(request);
    using made = new DisposableStack();
    const feeds: Record<string, Tensor> = Object.create(null);
    for (const input of request.inputs) feeds[input.name] = this.#feed(input, made);
    const wanted = request.outputs ?? allOutputs(remote, request.isBinaryByDefault);
    const results = made.use(await this.#calls.run(entry, feeds, callOptions(request, wanted, signal)));
    const { headerLength, parts } = encodeInferResponse({
      modelName: entry.name,
      modelVersion: entry.config.version,
      id: request.id,
      outputs: wanted.map((output) => this.#place(output, results[output.name]!)),
    });
    if (headerLength === undefined) return { status: 200, headers: { "content-type": "application/json" }, parts };
    const binary = { "content-type": "application/octet-stream", [HEADER_LENGTH]: String(headerLength) };
    return { status: 200, headers: binary, parts };
  }

  /** Keeps the parts that a request names until it is answered. */
  #hold({ inputs, outputs = [] }: InferRequest): Disposable | undefined {
    const parts = [...inputs, ...outputs].flatMap(({ part }) => part ?? []);
    return parts.length === 0 ? undefined : served(this.#regions).hold(parts);
  }

  #feed({ name, dtype, shape, tensor, part }: InferInput, made: DisposableStack): Tensor {
    return tensor ?? made.use(readTensor(served(this.#regions), { name, dtype, shape, part: part! }));
  }

  /** Brings an output to where it is wanted. */
  #place({ name, isBinary, part }: InferOutput, tensor: Tensor): InferResponseOutput {
    const { dtype, shape } = tensor;
    if (part === undefined) return { name, dtype, shape, tensor, isBinary, part };
    const bytes = encodeBinaryData(tensor), { length } = bytes;
    if (length > part.byteLength) {
      const message =
        `Output "${name}" has ${length} bytes, and its part of region "${part.region}" ${part.byteLength}`;
      throw new OipError(400, message);
    }
    served(this.#regions).write({ ...part, byteLength: length }, bytes);
    return { name, dtype, shape, tensor: undefined, isBinary, part: { ...part, byteLength: length } };
  }
}

function decode(body: Uint8Array<ArrayBuffer>, header: string | undefined, remote: RemoteModel): InferRequest {
  if (header === undefined) return decodeInferRequest(body, undefined);
  const headerLength = /^\d{1,15}$/.test(header) ? Number(header) : NaN;
  if (!(headerLength <= body.length)) {
    throw new OipError(400, `${HEADER_LENGTH} is ${JSON.stringify(header)}, and the body has ${body.length} bytes`);
  }
  return headerLength === 0 ? decodeRawBody(body, remote) : decodeInferRequest(body, headerLength);
}

function allOutputs(remote: RemoteModel, isBinary: boolean): readonly InferOutput[] {
  return remote.outputs.filter(({ fetchable }) => fetchable).map(({ name }) => ({ name, isBinary, part: undefined }));
}

function callOptions(
  { priority, timeoutMicros }: InferRequest,
  wanted: readonly InferOutput[],
  signal: AbortSignal,
): CallOptions {
  return {
    outputs: wanted.map(({ name }) => name),
    signal,
    priority: priorityOf(priority),
    ...(timeoutMicros > 0 && { timeoutMs: timeoutMicros / 1000 }),
  };
}

/** 1 is the highest, and 0 what is usual. */
const priorityOf = (priority: number): Priority => priority === 1 ? "high" : priority <= 2 ? "normal" : "low";
