// Makes tensors of random sizes and disposes of them, and opens those of other Workers: see ../shared_soak.ts.
import process from "node:process";
import { setImmediate as turn } from "node:timers/promises";
import { type AllocatorMetrics, SharedMemoryAllocator, Tensor, type TensorRef } from "../../mod.ts";
import { liveHandles } from "../../src/handle.ts";
import { collectUntil } from "../../test/support/gc.ts";
import { randomNumbers, skewedSize, takeRandom } from "../support/shared_random.ts";

/** What a Worker is told. */
export type Order =
  | { readonly is: "start"; readonly seed: number }
  | { readonly is: "run"; readonly tensors: number }
  | { readonly is: "open"; readonly lent: Lent }
  | { readonly is: "opened"; readonly id: number }
  | { readonly is: "settle" }
  | { readonly is: "end" };

/** A tensor that another Worker is to open; answered, so that its owner knows when it may let go. */
export interface Lent {
  readonly from: number;
  readonly id: number;
  readonly ref: TensorRef;
  readonly stamp: number;
}

/** What a Worker says. */
export type News =
  | {
    readonly is: "ran";
    readonly made: number;
    readonly opened: number;
    readonly heapBytes: number;
    readonly metrics: AllocatorMetrics;
  }
  | { readonly is: "lent"; readonly lent: Lent }
  | { readonly is: "opened"; readonly from: number; readonly id: number }
  | { readonly is: "settled" }
  | { readonly is: "ended"; readonly regions: readonly string[]; readonly left: Readonly<Record<string, number>> };

interface Kept {
  readonly tensor: Tensor<"uint32">;
  readonly stamp: number;
  readonly bytes: number;
}

interface Scope {
  onmessage: (event: { readonly data: Order }) => void;
  postMessage(message: News): void;
}

const LEAST = 64, MOST = 2 ** 20, MOST_LIVE = 12 * 2 ** 20, MOST_OPENED = 16, MOST_LENT = 8;
/** Tensors between two turns of the event loop, and of how many one is lent. */
const SLICE = 128, LEND_OF = 32, LOOKED_AT = 64;

const scope = globalThis as unknown as Scope, allocator = new SharedMemoryAllocator();
const live: Kept[] = [], opened: Kept[] = [], lent = new Map<number, Kept | undefined>(), regions = new Set<string>();
let random = randomNumbers(1), from = 0, liveBytes = 0, made = 0, taken = 0, settling = false;

function check({ tensor: { data }, stamp }: Kept): void {
  const step = Math.max(1, Math.floor(data.length / LOOKED_AT));
  for (let i = 0; i < data.length; i += step) {
    if (data[i] !== stamp) throw new Error(`element ${i} of ${data.length}: ${stamp} wanted, ${data[i]} found`);
  }
  if (data[data.length - 1] !== stamp) throw new Error(`the last element: ${stamp} wanted, ${data.at(-1)} found`);
}

function letGo(kept: Kept): void {
  check(kept);
  kept.tensor[Symbol.dispose]();
}

function remove(): void {
  const kept = takeRandom(live, random);
  liveBytes -= kept.bytes;
  letGo(kept);
}

function add(): void {
  const length = Math.ceil(skewedSize(random, LEAST, MOST) / 4), tensor = allocator.tensor("uint32", [length]);
  const stamp = (from << 24 | ++made & 0xffffff) >>> 0;
  tensor.data.fill(stamp);
  live.push({ tensor, stamp, bytes: 4 * length });
  liveBytes += 4 * length;
}

/** Lends one: held here until the other has opened it, or handed off and no more of this Worker's concern. */
function lend(): void {
  const kept = takeRandom(live, random), id = made, { stamp, tensor } = kept;
  liveBytes -= kept.bytes;
  const ref = random() < 0.5 ? tensor.handOff() : tensor.ref;
  regions.add(ref.region);
  lent.set(id, tensor.disposed ? undefined : kept);
  scope.postMessage({ is: "lent", lent: { from, id, ref, stamp } });
}

async function run(tensors: number): Promise<void> {
  for (let i = 1; i <= tensors; i++) {
    add();
    while (liveBytes > MOST_LIVE) remove();
    if (i % LEND_OF === 0 && lent.size < MOST_LENT) lend(); // the other may be behind
    if (i % SLICE === 0) await turn();
  }
  scope.postMessage({ is: "ran", made, opened: taken, metrics: allocator.metrics(), heapBytes: await heapInUse() });
}

/** Bytes of this thread's heap that are no garbage: what an engine makes of the rest is its own business. */
async function heapInUse(): Promise<number> {
  let rounds = 0;
  await collectUntil(() => ++rounds === 3);
  return process.memoryUsage().heapUsed;
}

function open({ from, id, ref, stamp }: Lent): void {
  const kept = { tensor: Tensor.open(ref).as("uint32"), stamp, bytes: ref.byteLength };
  check(kept);
  opened.push(kept);
  taken++;
  while (opened.length > (settling ? 0 : MOST_OPENED)) letGo(takeRandom(opened, random));
  scope.postMessage({ is: "opened", from, id });
}

/** Lets go of what others made, and waits until they have opened what this one lent. */
function settle(): void {
  settling = true;
  for (const kept of opened.splice(0)) letGo(kept);
  if (lent.size === 0) scope.postMessage({ is: "settled" });
}

function end(): void {
  for (const kept of live) letGo(kept);
  const { bytesInUse } = allocator.metrics();
  allocator[Symbol.dispose]();
  const { region: _, "abandoned tensor": __, ...left } = liveHandles(); // regions: until the others have left them
  scope.postMessage({ is: "ended", regions: [...regions], left: bytesInUse === 0 ? left : { ...left, bytesInUse } });
}

scope.onmessage = ({ data: order }) => {
  if (order.is === "start") {
    from = order.seed;
    random = randomNumbers(order.seed + 1);
  } else if (order.is === "run") void run(order.tensors);
  else if (order.is === "open") open(order.lent);
  else if (order.is === "opened") {
    const kept = lent.get(order.id);
    lent.delete(order.id);
    if (kept) letGo(kept); // the other may be the last to let go
    if (settling && lent.size === 0) settle();
  } else if (order.is === "settle") settle();
  else end();
};
