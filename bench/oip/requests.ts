/** Inferences as they are sent. */
import type { DType } from "../../mod.ts";
import type { Tensor } from "../../mod.ts";
import { encodeInferRequest, type RegionPart } from "../../src/protocol/oip/infer_request.ts";
import { type Case, makeTensors } from "../support/cases.ts";
import type { Asked } from "./clients.ts";

/** How tensors travel within a body. */
export const FORMS = ["JSON", "binary"] as const;
/** One of them. */
export type Form = typeof FORMS[number];

/** Where a server listens. */
export interface Server {
  readonly host: string;
  readonly port: number;
}

/** What a model is asked for. */
export interface Input {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly tensor: Tensor | undefined;
  readonly part: RegionPart | undefined;
}

const HEADERS: Readonly<Record<Form, Readonly<Record<string, string>>>> = {
  JSON: { "content-type": "application/json" },
  binary: { "content-type": "application/octet-stream" },
};

/** Where a URL leads to. */
export function serverOf(url: string): Server {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}

/** Asks a model for all of its outputs, in the form of the inputs. */
export function inferRequest(server: Server, model: string, inputs: readonly Input[], form: Form): Asked {
  const isJson = form === "JSON",
    all = { id: undefined, outputs: undefined, priority: 0, timeoutMicros: 0, sequence: undefined };
  const { headerLength, parts } = encodeInferRequest({ ...all, inputs, isBinaryByDefault: !isJson }, { isJson });
  const headers = headerLength === undefined
    ? HEADERS.JSON
    : { ...HEADERS.binary, "inference-header-content-length": String(headerLength) };
  return { ...server, path: `/v2/models/${model}/infer`, headers, parts: parts as Asked["parts"] };
}

/** Asks a case's model about the case's inputs. */
export function caseRequest(server: Server, { name, inputs }: Case, form: Form): Asked {
  const feeds = makeTensors(inputs, "heap");
  const found = inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape, tensor: feeds[name], part: undefined }));
  return inferRequest(server, name, found, form);
}
