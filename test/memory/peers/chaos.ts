/**
 * Makes, opens, hands off and disposes of shared tensors, until it is killed or its input ends. It says the references
 * that it handed off, one a line, and opens those that its parent tells it. One that lives to its end says how much it
 * did.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { formatTensorRef } from "../../../src/tensor/tensor_ref.ts";

/** The byte that every tensor here is full of, so that a wrong one shows. */
const FILL = 0x5a;
/** How long a reference may be on its way. */
const TTL_MS = 100;
const ARENA_BYTES = 1 << 18;

const said = { steps: 0, opened: 0, stale: 0 };
const held: Tensor[] = [];
const allocators = { named: makeAllocator("named"), memfd: makeAllocator("memfd") };

function makeAllocator(backend: "named" | "memfd"): SharedMemoryAllocator {
  return new SharedMemoryAllocator({ backend, arenaBytes: ARENA_BYTES });
}

/** Resolves when the parent can read it: an exit before that loses it, on Bun. */
function say(line: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(line + "\n", () => resolve()));
}

function random(below: number): number {
  return Math.floor(Math.random() * below);
}

function oneBackend(): "named" | "memfd" {
  return random(2) === 0 ? "named" : "memfd";
}

function make(): Tensor {
  const tensor = allocators[oneBackend()].tensor("uint8", [1 + random(50_000)]);
  tensor.data.fill(FILL);
  return tensor;
}

/** Opens another process's tensor, if it is still there, and keeps it for a while. */
function open(word: string): void {
  let tensor: Tensor;
  try {
    tensor = Tensor.open(word);
  } catch (error) {
    if ((error as { code?: string }).code !== "STALE_REFERENCE") throw error;
    said.stale++;
    return;
  }
  said.opened++;
  check(tensor);
  held.push(tensor);
}

function check(tensor: Tensor): void {
  if (!tensor.as("uint8").data.every((byte) => byte === FILL)) throw new Error(`other data in ${tensor.size} bytes`);
}

function step(): void {
  said.steps++;
  if (held.length > 20) {
    const tensor = held.splice(random(20), 1)[0]!;
    if (!tensor.disposed) check(tensor);
    tensor[Symbol.dispose]();
  }
  const what = random(100);
  if (what === 0) return startAnew(oneBackend());
  if (what < 30) return void say(formatTensorRef(make().handOff({ ttlMs: TTL_MS })));
  held.push(make());
}

function startAnew(backend: "named" | "memfd"): void {
  allocators[backend][Symbol.dispose](); // and with it all its tensors
  allocators[backend] = makeAllocator(backend);
}

let goesOn = true;
createInterface({ input: process.stdin }).on("line", open).on("close", () => goesOn = false);
void say("ready");
while (goesOn) {
  for (let i = 0; i < 30; i++) step();
  await setTimeout(1); // lets it read: on Bun a loop of setImmediate hardly does
}
for (const tensor of held) tensor[Symbol.dispose]();
for (const allocator of Object.values(allocators)) allocator[Symbol.dispose]();
await say(JSON.stringify(said));
process.exit();
