// A Worker that does with shared tensors what it is told, until it is terminated: see shared_workers_test.ts.
import { Buffer } from "node:buffer";
import { parentPort } from "node:worker_threads";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import type { TensorRef } from "../../../src/tensor/tensor_ref.ts";

const allocator = new SharedMemoryAllocator({ maxBytes: 64 << 20 }), kept: unknown[] = [];

/** Allocates and disposes of so many tensors of random sizes, each of which it fills, and checks before it goes. */
function churn(count: number, seed: number): { wrong: number; reserved: number; inUse: number; regions: string[] } {
  const random = (below: number): number => (seed = (seed * 48271) % 0x7fffffff) % below;
  const live: { tensor: Tensor<"uint8">; mark: number }[] = [], regions = new Set<string>();
  let wrong = 0;
  function drop(at: number): void {
    const [{ tensor, mark }] = live.splice(at, 1) as [typeof live[0]];
    if (!Buffer.from(tensor.data.buffer).equals(Buffer.alloc(tensor.size, mark))) wrong++;
    tensor[Symbol.dispose]();
  }
  for (let i = 0; i < count; i++) {
    const tensor = allocator.tensor("uint8", [random(1 << (4 + random(18)))]), mark = random(256);
    tensor.data.fill(mark);
    live.push({ tensor, mark });
    regions.add(tensor.ref.region);
    if (live.length > 200) drop(random(live.length));
  }
  while (live.length > 0) drop(0);
  const { bytesReserved, bytesInUse } = allocator.metrics();
  return { wrong, reserved: bytesReserved, inUse: bytesInUse, regions: [...regions] };
}

const actions = {
  /** Opens a tensor, and keeps it: what its first byte is. */
  hold(ref: TensorRef): number {
    const tensor = Tensor.open(ref).as("uint8");
    kept.push(tensor);
    return tensor.data[0]!;
  },
  /** Adds one to every byte, and hands off a copy. */
  increment(ref: TensorRef): TensorRef {
    using tensor = Tensor.open(ref).as("uint8");
    tensor.data.forEach((byte, i) => tensor.data[i] = byte + 1);
    return allocator.share(tensor).handOff();
  },
  /** Makes a tensor of a byte, and keeps it. */
  make(byte: number): TensorRef {
    const tensor = allocator.tensor("uint8", [100_000]);
    tensor.data.fill(byte);
    kept.push(tensor);
    return tensor.ref;
  },
  /** Makes one, and gives its buffer away. */
  give(byte: number): ArrayBuffer {
    const tensor = allocator.tensor("uint8", [100_000]), { buffer } = tensor.data.fill(byte);
    kept.push(tensor.ref.region);
    return buffer;
  },
  /** Keeps a buffer: what its first byte is. */
  take(buffer: ArrayBuffer): number | undefined {
    kept.push(buffer);
    return new Uint8Array(buffer)[0];
  },
  /** Looks at the buffer it keeps. */
  look: (): number | undefined => new Uint8Array(kept[0] as ArrayBuffer)[99_999],
  churn,
};

parentPort!.on("message", ([action, ...args]: [keyof typeof actions, ...unknown[]]) => {
  const result = (actions[action] as (...args: unknown[]) => unknown)(...args);
  parentPort!.postMessage(result, action === "give" ? [result as ArrayBuffer] : []);
});
parentPort!.postMessage("up");
