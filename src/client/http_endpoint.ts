import { typeError, WorkerError } from "../errors.ts";
import type { ModelName } from "./link.ts";

/** Where a server of the Open Inference Protocol is reached. */
export interface HttpEndpoint {
  /** What stands before `/v2`. */
  readonly base: string;
  /** Whether it is surely on this machine, though maybe in another container. */
  readonly isLoopback: boolean;
}

const LOOPBACK = /^(?:localhost|.+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** Whether an endpoint is one of HTTP, and not a socket. */
export function isHttpEndpoint(endpoint: unknown): endpoint is string {
  return typeof endpoint === "string" && /^https?:/i.test(endpoint);
}

/** @throws {TypeError} INVALID_ARGUMENT for what is no address, or says more than one */
export function httpEndpoint(endpoint: string): HttpEndpoint {
  const url = /^https?:\/\//i.test(endpoint) ? URL.parse(endpoint) : null;
  if (url === null) {
    throw typeError("INVALID_ARGUMENT", "Cannot connect: an endpoint such as http://127.0.0.1:8000 wanted");
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    const message = "Cannot connect: an endpoint has no user, password, query or fragment; a token is an option";
    throw typeError("INVALID_ARGUMENT", message);
  }
  return { base: `${url.origin}${url.pathname.replace(/\/+$/, "")}`, isLoopback: LOOPBACK.test(url.hostname) };
}

/** The path of a model. @throws {WorkerError} UNKNOWN_MODEL for a name that no path can have */
export function modelPath({ name, version, key }: ModelName): string {
  const parts = version === undefined ? [name] : [name, version];
  if (!parts.every((part) => !["", ".", ".."].includes(part) && part.isWellFormed())) {
    const message = `There is no model ${JSON.stringify(key)}: over HTTP, none can be called so`;
    throw new WorkerError("UNKNOWN_MODEL", message);
  }
  return `/v2/models/${parts.map(encodeURIComponent).join("/versions/")}`;
}
