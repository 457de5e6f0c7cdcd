// A process that drops an allocator while its tensors live: see shared_gc_test.ts.
import { liveHandles } from "../../../src/handle.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { collectUntil } from "../../support/gc.ts";

let collected = false;
const dropped = new FinalizationRegistry<void>(() => void (collected = true));

function make(): Tensor<"uint8">[] {
  const allocator = new SharedMemoryAllocator(), scope = allocator.scope();
  const tensors = Array.from({ length: 32 }, (_, i) => (i % 2 ? allocator : scope).tensor("uint8", [4096]));
  tensors.forEach((tensor, i) => tensor.data.fill(i));
  dropped.register(allocator, undefined);
  return tensors;
}

const tensors = make(), { region } = tensors[0]!.ref;
await collectUntil(() => collected);
const intact = tensors.every((tensor, i) => !tensor.disposed && tensor.data.every((byte) => byte === i));
const open = Tensor.open(tensors[31]!.ref);
for (const tensor of tensors) tensor[Symbol.dispose]();
const shared = open.data[4095];
open[Symbol.dispose]();
console.log(JSON.stringify({ intact, shared, tensors: liveHandles().tensor ?? 0, region }));
