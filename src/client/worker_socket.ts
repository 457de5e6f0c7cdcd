import { effectiveUser } from "../../ffi/descriptors.ts";
import { ERRNO, SystemFailure } from "../../ffi/system_failure.ts";
import { peerOf } from "../../ffi/unix_socket.ts";
import { WorkerError } from "../errors.ts";

/** Makes sure that who listens is of this user. @throws {WorkerError} WORKER_UNAVAILABLE; {SystemFailure} */
export function checkOwner(fd: number, socket: string): void {
  const { uid } = peerOf(fd);
  if (uid === effectiveUser()) return;
  const message = `The worker at ${socket} is of user ${uid}, and this process of user ${effectiveUser()}`;
  throw new WorkerError("WORKER_UNAVAILABLE", message);
}

/** What to throw where there was no connection, or none any more before the worker had greeted: nothing has run. */
export function greetingFailure(socket: string, error: unknown): unknown {
  const why = reasonOf(error);
  if (why === undefined) return error;
  return new WorkerError("WORKER_UNAVAILABLE", `There is no worker at ${socket}: ${why}`, { cause: error });
}

function reasonOf(error: unknown): string | undefined {
  if (error instanceof WorkerError && error.code === "WORKER_DIED") {
    return "it died, or closed the connection, before it had greeted";
  }
  if (!(error instanceof SystemFailure)) return undefined;
  if (error.errno === ERRNO.ENOENT) return "there is no such socket";
  return error.errno === ERRNO.ECONNREFUSED ? "the worker that listened there is gone" : error.message;
}
