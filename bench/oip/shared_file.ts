/** Shared memory as callers over HTTP make it. */
import { randomUUID } from "node:crypto";
import { closeSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { atEnd } from "../support/ending.ts";

/** A file in /dev/shm, which goes away with its scope. */
export class SharedFile implements Disposable {
  /** What it is registered by. */
  readonly key = `/coload-bench-${randomUUID()}`;
  readonly #path = `/dev/shm${this.key}`;
  readonly #fd = openSync(this.#path, "wx+", 0o600);
  readonly #forget = atEnd(() => unlinkSync(this.#path));

  /** Puts bytes at its beginning. */
  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at, bytes.length - at, at);
  }

  /** Copies bytes from its beginning, as a server does that cannot trust it to stay as long as it is. */
  read(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) at += readSync(this.#fd, bytes, at, bytes.length - at, at);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    unlinkSync(this.#path);
    this.#forget();
  }
}
