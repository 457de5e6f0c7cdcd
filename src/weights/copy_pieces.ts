import { openOwnFile, openToRead } from "../../ffi/file_tree.ts";
import { functionPointer } from "../../ffi/libc.ts";
import { OwnedDescriptor } from "../../ffi/owned_descriptor.ts";
import { OwnedMemory } from "../../ffi/owned_memory.ts";
import { callNative } from "../../ffi/process/calls.ts";
import { SystemError } from "../errors.ts";

/** A piece of a file that goes to another place, in it or in another. */
export interface Move {
  readonly from: number;
  readonly to: number;
  readonly byteLength: number;
}

const CHUNK = 8 << 20;

/** Moves whose sources and whose targets lie so close together that each fits a chunk; one that is too large is cut. */
function* batches(moves: readonly Move[]): Generator<readonly Move[]> {
  let batch: Move[] = [];
  for (const move of moves) {
    const first = batch[0];
    const fits = first !== undefined && move.from + move.byteLength - first.from <= CHUNK &&
      move.to + move.byteLength - first.to <= CHUNK;
    if (!fits && batch.length > 0) {
      yield batch;
      batch = [];
    }
    if (move.byteLength <= CHUNK) batch.push(move);
    else yield* cut(move);
  }
  if (batch.length > 0) yield batch;
}

function* cut({ from, to, byteLength }: Move): Generator<readonly Move[]> {
  for (let at = 0; at < byteLength; at += CHUNK) {
    yield [{ from: from + at, to: to + at, byteLength: Math.min(CHUNK, byteLength - at) }];
  }
}

async function transfer(
  fn: "pread" | "pwrite",
  fd: number,
  block: OwnedMemory,
  length: number,
  at: number,
): Promise<void> {
  const done = await callNative("load", functionPointer(fn), [BigInt(fd), block.address, BigInt(length), BigInt(at)]);
  if (done === BigInt(length)) return;
  const found = BigInt.asIntN(64, done) < 0n ? "the system refuses" : `${done} bytes moved of ${length}`;
  throw new SystemError("SYSTEM", `Cannot move weights to aligned addresses: ${found}`);
}

/**
 * Copies pieces of a file, in the order of both their sources and their targets, on another thread.
 *
 * @throws {SystemError} SYSTEM
 * @throws {SystemFailure}
 * @throws the signal's reason, when it aborts
 */
export async function copyPieces(
  moves: readonly Move[],
  source: string,
  target: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  using from = new OwnedDescriptor(openToRead(source));
  using to = new OwnedDescriptor(openOwnFile(target));
  using read = new OwnedMemory(CHUNK);
  using written = new OwnedMemory(CHUNK);
  const input = new Uint8Array(read.buffer), output = new Uint8Array(written.buffer);
  for (const batch of batches(moves)) {
    signal?.throwIfAborted();
    const first = batch[0]!, last = batch.at(-1)!;
    await transfer("pread", from.fd, read, last.from + last.byteLength - first.from, first.from);
    const length = last.to + last.byteLength - first.to;
    output.fill(0, 0, length);
    for (const { from: at, to: target, byteLength } of batch) {
      const start = at - first.from;
      output.set(input.subarray(start, start + byteLength), target - first.to);
    }
    await transfer("pwrite", to.fd, written, length, first.to);
  }
}
