// A process that disposes of a shared tensor while the system reads into it: see shared_storage_test.ts.
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { liveHandles } from "../../../src/handle.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { collectUntil } from "../../support/gc.ts";

const [what] = process.argv.slice(2), SIZE = 1 << 16;
const folder = mkdtempSync(join(tmpdir(), "coload-fifo-")), path = join(folder, "fifo");
spawnSync("mkfifo", [path]);
const fifo = await open(path, "r+"); // for reading and writing, so that nothing waits for the other end
const allocator = new SharedMemoryAllocator();

/** Starts to read into a tensor, disposes of it, and of the allocator if asked; lets the read end then. */
async function readAndDispose(): Promise<boolean> {
  const made = allocator.tensor("uint8", [SIZE]), { ref } = made;
  const tensor = what === "read-only" ? Tensor.open(ref, { readOnly: true }).as("uint8") : made;
  const reading = fifo.read(tensor.data, 0, SIZE);
  tensor[Symbol.dispose]();
  made[Symbol.dispose]();
  if (what === "allocator") allocator[Symbol.dispose]();
  const isHandedOut = what !== "allocator" && isReused(ref.byteOffset);
  await fifo.write(Buffer.alloc(1000, 3));
  await reading;
  return isHandedOut;
}

function isReused(byteOffset: number): boolean {
  using next = allocator.tensor("uint8", [SIZE]);
  return next.ref.byteOffset === byteOffset;
}

const reused = await readAndDispose();
await collectUntil(() => Object.keys(liveHandles()).every((kind) => kind === "region"));
const tensors = allocator.metrics().tensors;
allocator[Symbol.dispose]();
await fifo.close();
rmSync(folder, { recursive: true });
console.log(JSON.stringify({ reused, tensors, left: liveHandles() }));
