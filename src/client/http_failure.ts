import { type ErrorCode, WorkerError } from "../errors.ts";
import { remoteError } from "../protocol/remote_error.ts";
import type { HttpAnswer } from "./http_transport.ts";

/** By which a server of Coload's tells the class and the code of an error. */
const CODE_HEADER = "coload-error-code", TOLD = /^([A-Za-z]{1,40}) ([A-Z_]{1,40})$/;
/** Characters of a server's words that a message has at most. */
const MOST_WORDS = 4000;

/** What statuses mean, where a server tells no code; of 503 {@linkcode isUntaken} decides. */
const CODES: Readonly<Record<number, ErrorCode>> = {
  404: "UNKNOWN_MODEL",
  408: "WORKER_TIMEOUT",
  429: "WORKER_BUSY",
  502: "WORKER_DIED", // a proxy lost the server that it had asked
  503: "WORKER_DIED",
  504: "WORKER_TIMEOUT",
};
/** Words of the protocol's servers for a request that they did not take. */
const UNTAKEN = /\b(?:queue (?:is )?full|exceeds maximum queue size|not ready|takes no more|draining|overloaded)\b/i;
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
 * The error that an answer is. A server of Coload's tells which one it met; of others the status decides: 404 is
 * UNKNOWN_MODEL, 408 and 504 are WORKER_TIMEOUT, 429 is WORKER_BUSY, and 502 is WORKER_DIED, as the request may have run.
 * So is 503, which proxies answer too where a server died that had taken it; it is WORKER_BUSY, and the request never ran,
 * only with `retry-after` or in words of the protocol that say so. WORKER_PROTOCOL stands for whatever has no code of its
 * own, as 400 for a bad request, 401 for a bad token, and 500.
 */
export function answerError(base: string, answer: HttpAnswer): Error {
  const { status } = answer, words = wordsOf(answer), told = TOLD.exec(String(answer.headers[CODE_HEADER]));
  if (told !== null) return remoteError({ name: told[1], code: told[2], message: words ?? `status ${status}` });
  const message = `The server at ${base} answers ${status}${words === undefined ? "" : `: ${words}`}`;
  const code = status === 503 && isUntaken(answer, words) ? "WORKER_BUSY" : CODES[status] ?? "WORKER_PROTOCOL";
  const error = new WorkerError(code, message);
  if (REFUSALS.includes(status)) refused.add(error);
  return error;
}

/** Whether an answer of 503 says that the request was not taken. */
function isUntaken({ headers }: HttpAnswer, words: string | undefined): boolean {
  return headers["retry-after"] !== undefined || (words !== undefined && UNTAKEN.test(words));
}
