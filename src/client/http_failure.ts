import { type ErrorCode, WorkerError } from "../errors.ts";
import { remoteError } from "../protocol/remote_error.ts";
import type { HttpAnswer } from "./http_transport.ts";

/** By which a server of Coload's tells the class and the code of an error. */
const CODE_HEADER = "coload-error-code", TOLD = /^([A-Za-z]{1,40}) ([A-Z_]{1,40})$/;
/** Characters of a server's words that a message has at most. */
const MOST_WORDS = 4000;

/** What statuses mean, where a server tells no code. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  404: "UNKNOWN_MODEL",
  408: "WORKER_TIMEOUT",
  429: "WORKER_BUSY",
  502: "WORKER_DIED", // a proxy lost the server that it had asked
  504: "WORKER_TIMEOUT",
};
/** Statuses by which a server refuses what was asked for, and not who asks, or when. */
const REFUSALS: readonly number[] = [400, 404, 405, 406, 409, 410, 411, 413, 415, 422, 501];

const refused = new WeakSet<object>(), decoder = new TextDecoder();

/**
 * What a request failed with that got no answer: WORKER_UNAVAILABLE where it was never sent, WORKER_PROTOCOL for an
 * answer that is not HTTP, else WORKER_DIED. What the runtime forbids stays as it is.
 */
export function connectionError(base: string, cause: Error, isSent: boolean): Error {
  if (cause.name === "NotCapable") return cause;
  if (!isSent) {
    return new WorkerError("WORKER_UNAVAILABLE", `There is no server at ${base}: ${cause.message}`, { cause });
  }
  const isStrange = String((cause as { code?: unknown }).code).startsWith("HPE_");
  const code = isStrange ? "WORKER_PROTOCOL" : "WORKER_DIED";
  return new WorkerError(code, `The server at ${base} gave no answer: ${cause.message}`, { cause });
}

/** Whether a server refused what was asked for, without telling a code: it may not know a region, or another model by now. */
export function isRefusal(error: unknown): boolean {
  return typeof error === "object" && error !== null && refused.has(error);
}

/** What a server says in its answer: `{"error": text}`; `undefined` where that is not in it. */
export function wordsOf({ body }: HttpAnswer): string | undefined {
  try {
    const { error } = JSON.parse(decoder.decode(body)) as { error?: unknown };
    return typeof error === "string" ? error.slice(0, MOST_WORDS) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The error that an answer is. A server of Coload's tells which one it met; of others the status decides, and
 * WORKER_PROTOCOL stands for whatever has no code of its own, as 400 for a bad request, 401 for a bad token, and 500.
 */
export function answerError(base: string, answer: HttpAnswer): Error {
  const { status } = answer, words = wordsOf(answer), told = TOLD.exec(String(answer.headers[CODE_HEADER]));
  if (told !== null) return remoteError({ name: told[1], code: told[2], message: words ?? `status ${status}` });
  const message = `The server at ${base} answers ${status}${words === undefined ? "" : `: ${words}`}`;
  const error = new WorkerError(codeOf(status, words !== undefined), message);
  if (REFUSALS.includes(status)) refused.add(error);
  return error;
}

/** @param hasWords whether a server of the protocol said so, and not a proxy before one */
function codeOf(status: number, hasWords: boolean): ErrorCode {
  if (status === 503) return hasWords ? "WORKER_BUSY" : "WORKER_UNAVAILABLE";
  return CODES[status] ?? "WORKER_PROTOCOL";
}
