// A process that transfers the buffers of shared tensors away: see shared_storage_test.ts.
import process from "node:process";
import { liveHandles } from "../../../src/handle.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";

const readOnly = process.argv[2] === "read-only";
const allocator = new SharedMemoryAllocator(), tensor = allocator.tensor("uint8", [8192]);
tensor.data.fill(7);
const { ref } = tensor, given = readOnly ? Tensor.open(ref, { readOnly }).as("uint8") : tensor;
const { buffer } = given.data, moved = new Uint8Array(structuredClone(buffer, { transfer: [buffer] }));
let code: string | undefined;
try {
  void given.data;
} catch (error) {
  code = (error as { code?: string }).code;
}
given[Symbol.dispose]();
let reused = 0;
for (let round = 0; round < 100; round++) {
  using next = allocator.tensor("uint8", [8192]);
  next.data.fill(9);
  if (next.ref.byteOffset === ref.byteOffset) reused++;
}
const kept = moved.every((byte) => byte === (readOnly ? 0 : 7));
moved.fill(1);
tensor[Symbol.dispose]();
allocator[Symbol.dispose]();
moved.fill(2); // leads nowhere, or to memory that nobody else uses
console.log(JSON.stringify({ code, reused, kept, abandoned: liveHandles()["abandoned tensor"], region: ref.region }));
