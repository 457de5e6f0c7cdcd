import { createHash, randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import path from "node:path";
import { openToRead, removeTree, renamePath, touchPath, writeNewFile } from "../../ffi/file_tree.ts";
import { type FileIdentity, fileIdentity, readText } from "../../ffi/files.ts";
import { namesIn } from "../../ffi/file_system.ts";
import { functionPointer } from "../../ffi/libc.ts";
import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { OwnedMemory } from "../../ffi/owned_memory.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { SystemError } from "../errors.ts";
import type { WeightsCache } from "./cache.ts";

/** Bytes that are hashed in one piece. */
const CHUNK = 8 << 20;
/** Chunks that are read and hashed at once. */
const LANES = 2;
const DIGEST_BYTES = 32, DIGEST = /^[0-9a-f]{64}$/;
/** The name of what a digest is written to, before it is put in place; and how old one is that nobody writes any more. */
const DRAFT = /^[0-9a-f]{40}\.[0-9a-f]{16}$/, DRAFT_MS = 60_000;
/** A file that was written to less than this ago may be written to again without another time of change. */
const CLOCK_STEP_MS = 50;

/** How a digest is taken. */
export interface DigestOptions {
  /** Where it is remembered. */
  readonly cache: WeightsCache;
  /** Whether to read the file although its digest is known. */
  readonly again?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Hears how many bytes were read. */
  readonly onBytes?: ((byteLength: number) => void) | undefined;
}

/** What is in a file. */
export interface FileDigest {
  /** SHA-256 over the SHA-256 of each 8 MiB, in hexadecimal. */
  readonly digest: string;
  readonly byteLength: number;
  /** The state that the file was in, before it was read and after. */
  readonly state: string;
}

/** Files whose digests a thread remembers. */
const MAX_KNOWN = 4096;

/** What this thread knows of files, by the cache that remembers it and their states. */
const known = new Map<string, string>();

const memoPath = (cache: WeightsCache, state: string): string =>
  path.join(cache.digests, createHash("sha256").update(state).digest("hex").slice(0, 40));

/** The digest of a file in this state, if it is known. */
export function knownDigest(cache: WeightsCache, state: string): string | undefined {
  const here = known.get(`${cache.path}\n${state}`);
  if (here !== undefined) return here;
  const [digest, of] = readText(memoPath(cache, state))?.split("\n") ?? [];
  if (of !== state || digest === undefined || !DIGEST.test(digest)) return undefined;
  known.set(`${cache.path}\n${state}`, digest);
  touchPath(memoPath(cache, state)); // it is of use
  return digest;
}

/** Remembers what is in a file, by its device, inode, size, and times of change, for all processes. */
function remember(cache: WeightsCache, { state, digest }: FileDigest): void {
  if (known.size >= MAX_KNOWN) known.clear();
  known.set(`${cache.path}\n${state}`, digest);
  const memo = memoPath(cache, state), draft = `${memo}.${randomBytes(8).toString("hex")}`;
  try {
    writeNewFile(draft, new TextEncoder().encode(`${digest}\n${state}\n`), false);
    renamePath(draft, memo);
  } catch { // full or not to be written to: then it is read again by the next process
    removeTree(draft);
  }
}

/** What a process that was killed has left of what it noted. A draft lives for a moment. */
export function sweepDrafts(cache: WeightsCache, now: number = Date.now()): void {
  for (const name of namesIn(cache.digests)) {
    if (!DRAFT.test(name)) continue;
    const draft = path.join(cache.digests, name), found = fileIdentity(draft, "tell");
    if (!("error" in found) && now - found.changedAt > DRAFT_MS) removeTree(draft);
  }
}

function identify(file: string): FileIdentity {
  const found = fileIdentity(file);
  if ("error" in found) throw new SystemError("SYSTEM", `Cannot read ${file}: ${found.message}`);
  if (found.kind !== "file") {
    throw new SystemError("SYSTEM", `Cannot read ${file}: a file wanted, a ${found.kind} found`);
  }
  return found;
}

/** @throws {SystemError} MODEL_CHANGED */
function changed(file: string): never {
  throw new SystemError("MODEL_CHANGED", `Cannot tell what is in ${file}: it was written to meanwhile`);
}

/** Reads and hashes a file on other threads. */
async function hash(file: string, byteLength: number, { signal, onBytes }: DigestOptions): Promise<string> {
  using open = new OwnedDescriptor(openToRead(file));
  const pread = functionPointer("pread"), chunks = Math.ceil(byteLength / CHUNK);
  const digests = new Uint8Array(chunks * DIGEST_BYTES);
  let next = 0;
  const lane = async (): Promise<void> => {
    using block = new OwnedMemory(CHUNK);
    while (next < chunks) {
      const index = next++, start = index * CHUNK, length = Math.min(CHUNK, byteLength - start);
      signal?.throwIfAborted();
      const args = [BigInt(open.fd), block.address, BigInt(length), BigInt(start)];
      const read = BigInt.asIntN(64, await callNative("load", pread, args));
      if (read < 0n) throw new SystemError("SYSTEM", `Cannot read ${file}: the system does not give its bytes`);
      if (read !== BigInt(length)) changed(file);
      const part = await crypto.subtle.digest("SHA-256", new Uint8Array(block.buffer, 0, length));
      digests.set(new Uint8Array(part), index * DIGEST_BYTES);
      onBytes?.(length);
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: LANES }, lane)); // the file stays open for all of them
  const failed = lanes.find((settled) => settled.status === "rejected");
  if (failed) throw failed.reason;
  return createHash("sha256").update(digests).digest("hex");
}

/**
 * What is in a file. It is read once for each of its states, which are told apart by device, inode, size, and the times
 * of its last change of content and of any kind to the nanosecond: the latter no program can set. That trusts the
 * file system to note changes, and the disk to give back what was written; `again` trusts neither.
 *
 * @throws {SystemError} MODEL_CHANGED when it is written to meanwhile; SYSTEM when it cannot be read
 */
export async function digestOf(file: string, options: DigestOptions): Promise<FileDigest> {
  const found = identify(file), { state, byteLength, changedAt } = found;
  const before = options.again ? undefined : knownDigest(options.cache, state);
  if (before !== undefined) return { digest: before, byteLength, state };
  const age = Date.now() - changedAt;
  if (age < CLOCK_STEP_MS) await delay(Math.min(CLOCK_STEP_MS, CLOCK_STEP_MS - age));
  const digest = await hash(file, byteLength, options);
  if (identify(file).state !== state) changed(file);
  const result = { digest, byteLength, state };
  remember(options.cache, result);
  return result;
}

/** The digest of bytes in memory, as that of a file with them. */
export async function digestOfBytes(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<string> {
  const chunks = Math.ceil(bytes.length / CHUNK), digests = new Uint8Array(chunks * DIGEST_BYTES);
  for (let index = 0; index < chunks; index++) {
    signal?.throwIfAborted();
    const chunk = new Uint8Array(bytes.subarray(index * CHUNK, (index + 1) * CHUNK));
    digests.set(new Uint8Array(await crypto.subtle.digest("SHA-256", chunk)), index * DIGEST_BYTES);
  }
  return createHash("sha256").update(digests).digest("hex");
}
