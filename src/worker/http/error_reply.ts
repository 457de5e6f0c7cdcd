import { OipError } from "../../protocol/oip/oip_error.ts";
import { errorMessage } from "../../protocol/remote_error.ts";
import { json, type Reply } from "./call.ts";

/** Says to Coload's own client which error it was. */
const CODE_HEADER = "coload-error-code";

/** What clients of Triton look for. */
const UNKNOWN_MODEL = "Request for unknown model";

/** Statuses by code, of errors that are no mistake of the caller's. */
const STATUS: Readonly<Record<string, number>> = {
  __proto__: null as never,
  UNKNOWN_MODEL: 404,
  MODEL_NOT_FOUND: 404,
  WORKER_UNAVAILABLE: 503,
  WORKER_BUSY: 503,
  WORKER_TIMEOUT: 503,
  MEMORY_BUDGET: 503,
  UNSUPPORTED: 501,
  ORT_INVALID_ARGUMENT: 400,
  ORT_NOT_IMPLEMENTED: 501,
};

/** How an error is answered: `{"error": text}`. */
export function errorReply(error: unknown): Reply {
  if (error instanceof OipError) {
    return json({ error: error.message }, error.status, error.status === 401 ? { "www-authenticate": "Bearer" } : {});
  }
  const { name, code, message } = errorMessage(error),
    isMistake = error instanceof TypeError || error instanceof RangeError;
  const status = STATUS[code] ?? (isMistake && code !== "SYSTEM" ? 400 : 500);
  const text = code === "UNKNOWN_MODEL" ? `${UNKNOWN_MODEL}: ${message}` : message;
  return json({ error: text }, status, { [CODE_HEADER]: `${name} ${code}` });
}
