import path from "node:path";
import { statusOf } from "../../ffi/descriptors.ts";
import { makeDirectory, openOwnFile, removeTree } from "../../ffi/file_tree.ts";
import { effectiveUser } from "../../ffi/descriptors.ts";
import { fileIdentity } from "../../ffi/files.ts";
import { tryLockBytes } from "../../ffi/locks.ts";
import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { SystemFailure } from "../../ffi/system_failure.ts";
import { listenAt } from "../../ffi/unix_socket.ts";
import { SystemError, WorkerError } from "../errors.ts";
import { socketDirectory } from "../protocol/endpoint.ts";

/** A socket's path, which is this worker's until it is disposed of: a lock beside it tells the living from the dead. */
export class SocketClaim implements Disposable {
  readonly path: string;
  /** It listens. */
  readonly fd: number;
  readonly #descriptor: OwnedDescriptor;
  readonly #lock: OwnedDescriptor;

  private constructor(socket: string, descriptor: OwnedDescriptor, lock: OwnedDescriptor) {
    this.path = socket;
    this.fd = descriptor.fd;
    this.#descriptor = descriptor;
    this.#lock = lock;
  }

  /**
   * Takes a path, and listens there. What a dead worker left is removed.
   *
   * @throws {WorkerError} WORKER_RUNNING where a living one has it
   * @throws {SystemError} SOCKET_PATH where something else lies there, or it cannot be made
   */
  static take(socket: string): SocketClaim {
    const cannot = (why: string, cause?: unknown): SystemError =>
      new SystemError("SOCKET_PATH", `Cannot listen at ${socket}: ${why}`, { cause });
    try {
      if (path.dirname(socket) === socketDirectory()) makeOwnDirectory(path.dirname(socket), cannot);
      const lock = SocketClaim.#takeLock(socket);
      try {
        const found = fileIdentity(socket, "tell");
        if ("key" in found && found.kind !== "other") throw cannot(`a ${found.kind} is there, which is no socket`);
        removeTree(socket);
        return new SocketClaim(socket, new OwnedDescriptor(listenAt(socket)), lock);
      } catch (error) {
        removeTree(`${socket}.lock`);
        lock[Symbol.dispose]();
        throw error;
      }
    } catch (error) {
      throw error instanceof SystemFailure ? cannot(error.message, error) : error;
    }
  }

  static #takeLock(socket: string): OwnedDescriptor {
    for (;;) {
      const lock = new OwnedDescriptor(openOwnFile(`${socket}.lock`));
      try {
        if (!tryLockBytes(lock.fd, 0)) {
          throw new WorkerError("WORKER_RUNNING", `A worker is running at ${socket} already`);
        }
      } catch (error) {
        lock[Symbol.dispose]();
        throw error;
      }
      if (statusOf(lock.fd).links > 0) return lock;
      lock[Symbol.dispose](); // whoever had it removed it meanwhile
    }
  }

  /** Listens no more, and removes the path. */
  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]();
    removeTree(this.path);
    removeTree(`${this.path}.lock`);
    this.#lock[Symbol.dispose]();
  }
}

/** The folder of the user's workers, which nobody else may write to. */
function makeOwnDirectory(directory: string, cannot: (why: string) => SystemError): void {
  makeDirectory(directory);
  const found = fileIdentity(directory, "tell");
  if ("error" in found || found.kind !== "directory") throw cannot(`${directory} is no folder`);
  if (found.uid !== effectiveUser()) throw cannot(`${directory} belongs to user ${found.uid}`);
  if ((found.mode & 0o077) !== 0) {
    throw cannot(`other users may reach ${directory}: mode 700 wanted, ${found.mode.toString(8)} found`);
  }
}
