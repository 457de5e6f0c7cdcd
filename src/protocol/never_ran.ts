import { WorkerError } from "../errors.ts";

const notRun = new WeakSet<object>();

/** The same error, of a request that the worker never took. */
export function notRunError({ code, message, cause }: WorkerError): WorkerError {
  const error = new WorkerError(code, message, { cause });
  notRun.add(error);
  return error;
}

/** Whether a request that failed so cannot have run, and may be sent again. */
export function neverRan(error: unknown): boolean {
  if (!(error instanceof WorkerError)) return false;
  return error.code === "WORKER_UNAVAILABLE" || error.code === "WORKER_BUSY" || notRun.has(error);
}
