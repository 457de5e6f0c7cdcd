import type { CallOptions } from "../../protocol/call_options.ts";
import type { Priority } from "../../protocol/lane_layout.ts";
import { decodeInferRequest, type InferOutput, type InferRequest } from "../../protocol/oip/infer_request.ts";
import { encodeInferResponse } from "../../protocol/oip/infer_response.ts";
import { OipError } from "../../protocol/oip/oip_error.ts";
import type { RemoteModel } from "../../protocol/remote_model.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Call, Reply } from "./call.ts";
import { CallerSequences } from "./caller_sequences.ts";
import { CallMemory } from "./call_memory.ts";
import type { ClientRegions } from "./client_regions.ts";
import { decodeRawBody } from "./raw_body.ts";
import type { ServedCalls } from "./served_calls.ts";

/** The header that says how many bytes of the body are JSON. */
const HEADER_LENGTH = "inference-header-content-length";
/** Sequences of all callers, and for how long each is kept at least that nobody goes on with, in ms. */
const MOST_SEQUENCES = 1024, SEQUENCE_MS = 60_000;

/** Answers inferences. */
export class Inference {
  readonly #calls: ServedCalls;
  readonly #regions: ClientRegions | undefined;
  readonly #sequences = new CallerSequences({ most: MOST_SEQUENCES, idleMs: SEQUENCE_MS });

  /** @param regions `undefined` where callers may name none */
  constructor(calls: ServedCalls, regions: ClientRegions | undefined) {
    this.#calls = calls;
    this.#regions = regions;
  }

  /** Runs the model that the path names on what the body says. */
  async infer(call: Call): Promise<Reply> {
    const { params: { model, version }, headers, signal } = call, entry = this.#calls.find(model!, version);
    this.#calls.expect();
    const body = await call.body(), remote = await this.#calls.remote(entry);
    const request = decode(body, headers[HEADER_LENGTH] as string | undefined, remote);
    using memory = new CallMemory(call, this.#regions, request);
    const feeds: Record<string, Tensor> = Object.create(null);
    for (const input of request.inputs) feeds[input.name] = memory.feed(remote, input);
    const wanted = request.outputs ?? allOutputs(remote, request.isBinaryByDefault);
    const options = callOptions(request, wanted, signal), { sequence: place } = request;
    using results = place === undefined ? await this.#calls.run(entry, feeds, options) : await this.#sequences.within(
      entry.name,
      place,
      (sequence) => this.#calls.run(entry, feeds, { ...options, sequence }),
    );
    const { headerLength, parts } = encodeInferResponse({
      modelName: entry.name,
      modelVersion: entry.config.version,
      id: request.id,
      outputs: wanted.map((output) => memory.place(output, results[output.name]!)),
    });
    call.holdAnswer(parts.reduce((sum, { length }) => sum + length, 0));
    if (headerLength === undefined) return { status: 200, headers: { "content-type": "application/json" }, parts };
    const binary = { "content-type": "application/octet-stream", [HEADER_LENGTH]: String(headerLength) };
    return { status: 200, headers: binary, parts };
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
    ...(timeoutMicros > 0 && { queueTimeoutMs: timeoutMicros / 1000 }),
  };
}

/** 1 is the highest, and 0 what is usual. */
const priorityOf = (priority: number): Priority => priority === 1 ? "high" : priority <= 2 ? "normal" : "low";
