import { tmpdir } from "node:os";
import path from "node:path";
import { variable } from "../../ffi/cache_directory.ts";
import { effectiveUser } from "../../ffi/descriptors.ts";
import { MOST_PATH_BYTES } from "../../ffi/unix_socket.ts";
import { NativeError, SystemError, typeError } from "../errors.ts";

/** Where workers of this user listen, unless told otherwise: below `XDG_RUNTIME_DIR`, or in the temporary folder. */
export function socketDirectory(): string {
  const runtime = variable("XDG_RUNTIME_DIR");
  return runtime && path.isAbsolute(runtime)
    ? path.join(runtime, "coload")
    : path.join(tmpdir(), `coload-${effectiveUser()}`);
}

/** The socket of a worker that was given no other. */
export function defaultSocket(): string {
  return path.join(socketDirectory(), "worker.sock");
}

/**
 * The path of an endpoint: `unix:PATH`, or the path itself.
 *
 * @throws {TypeError} INVALID_ARGUMENT for what is no endpoint
 * @throws {SystemError} SOCKET_PATH for a path that is too long for a socket
 * @throws {NativeError} UNSUPPORTED for http
 */
export function socketPath(endpoint: string): string {
  if (typeof endpoint !== "string" || endpoint === "") {
    throw typeError("INVALID_ARGUMENT", `An endpoint wanted, such as unix:/run/worker.sock, ${String(endpoint)} found`);
  }
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(endpoint)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== "unix") {
    throw new NativeError("UNSUPPORTED", `Cannot reach ${endpoint}: a unix socket wanted, ${scheme} found`);
  }
  const given = scheme === undefined ? endpoint : endpoint.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
  if (given === "" || given.includes("\0")) throw typeError("INVALID_ARGUMENT", "An endpoint with a path wanted");
  const socket = path.resolve(given), bytes = new TextEncoder().encode(socket).length;
  if (bytes <= MOST_PATH_BYTES) return socket;
  const message = `The path of a socket has at most ${MOST_PATH_BYTES} bytes, and ${socket} has ${bytes}`;
  throw new SystemError("SOCKET_PATH", message);
}
