// Makes shared memory, tells what it is called, and holds it until it is killed: see ../holder.ts.
import process from "node:process";
import { SharedMemoryAllocator, SharedMemoryRegion, Tensor } from "../../../mod.ts";

const [what, argument = ""] = process.argv.slice(2), allocator = new SharedMemoryAllocator();

/** What has to stay, and what others call it. */
function make(): [held: unknown, ref: unknown] {
  if (what === "region") {
    const region = SharedMemoryRegion.create(Number(argument));
    region.bytes.fill(7);
    return [region, region.name];
  }
  if (what === "open") {
    const tensor = Tensor.open(argument);
    return [tensor, tensor.ref];
  }
  const tensor = allocator.tensor("uint8", [100_000]);
  tensor.data.fill(7);
  return what === "handOff" ? [allocator, tensor.handOff({ ttlMs: Number(argument) })] : [tensor, tensor.ref];
}

const [held, ref] = make();
console.log(JSON.stringify(ref));
process.stdin.on("end", () => process.exit(held === undefined ? 1 : 0)).resume(); // also when the test itself has died
