/**
 * A batch of frames given to another process: by reference to shared memory, and as bytes through a socket.
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { formatTensorRef, SharedMemoryAllocator } from "../mod.ts";
import { runChild } from "./children.ts";

/** What it took the other process to have all elements before it, in us. */
export interface HandOverReport {
  /** Bytes of the batch. */
  readonly byteLength: number;
  readonly byReference: number;
  readonly throughSocket: number;
  /** Whether this process saw what the other one wrote into the batch. */
  readonly wroteBack: boolean;
}

/** Frames, height, width, channels. */
const SHAPE = [34, 1024, 1024, 3] as const;
const MARK = 42, PIECE = 1 << 18;

const child = fileURLToPath(new URL("./hand_over_child.ts", import.meta.url));

/** How many ways {@linkcode measureHandOver} tries. */
export const handOverSteps = 2;

/** Gives the batch to a process of this runtime in both ways; `onStep` hears of each. */
export async function measureHandOver(onStep: (what: string) => void): Promise<HandOverReport> {
  using allocator = new SharedMemoryAllocator();
  using batch = allocator.tensor("uint8", SHAPE);
  batch.data.fill(7);
  const byReference = Number(await runChild(child, ["reference", formatTensorRef(batch.ref), String(MARK)]));
  onStep("by reference");
  const throughSocket = Number(await serveOnce(batch.data, (path) => runChild(child, ["socket", path])));
  onStep("through a socket");
  return { byteLength: batch.byteLength, byReference, throughSocket, wroteBack: batch.data.at(-1) === MARK };
}

/** One write of all of it would take Bun's sockets seconds. */
function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE);
}

/** Sends the bytes to whoever connects while `work` goes on. */
async function serveOnce<T>(bytes: Uint8Array, work: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "coload-demo-")), path = join(folder, "socket");
  const server = net.createServer((socket) => Readable.from(piecesOf(bytes)).pipe(socket)).listen(path);
  try {
    await new Promise((resolve) => server.once("listening", resolve));
    return await work(path);
  } finally {
    server.close();
    await rm(folder, { recursive: true });
  }
}
