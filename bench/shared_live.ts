/** What do thousands of live tensors in shared memory cost: descriptors, and the time for one more or one less? */
import { libc } from "../ffi/libc.ts";
import { ffi, type Pointer } from "../ffi/mod.ts";
import { SharedMemoryAllocator, Tensor } from "../mod.ts";
import type { Holding } from "./children/shared_live.ts";
import { contest, type Contestant, ratio, type Result } from "./support/contest.ts";
import { atMost, header, type Row, table } from "./support/report.ts";
import { Child, type RuntimeName, RUNTIMES } from "./support/child.ts";
import { openDescriptors } from "./support/shared_memory.ts";
import { randomNumbers, skewedSize, takeRandom } from "./support/shared_random.ts";
import { prepared } from "./support/shared_timing.ts";

const COUNTS = [100, 1_000, 10_000], LEAST = 64, MOST = 64 << 10, BATCH = 32, ROUNDS = 15;
/** Descriptors beside one for each arena, and how many times as long it may take with the most as with the fewest. */
const DESCRIPTORS = 16, FLAT = 2;
const MALLOC = { malloc: { parameters: ["usize"], result: "pointer" } } as const; // void *(size_t)
const WAYS = {
  malloc: "floor: malloc of one",
  free: "floor: free of one",
  native: "peer: a native tensor",
  nativeDispose: "peer: dispose of a native tensor",
  shared: "allocator.tensor",
  dispose: "dispose",
};

type Way = keyof typeof WAYS;

/** Many things of random sizes, any of which can go at any time. */
interface Population<T> {
  readonly live: T[];
  add(): void;
  remove(one: T): void;
}

function population<T>(count: number, make: (bytes: number) => T, remove: (one: T) => void): Population<T> {
  const random = randomNumbers(count), live: T[] = [];
  const add = (): void => void live.push(make(skewedSize(random, LEAST, MOST)));
  while (live.length < count) add();
  for (let i = 0; i < 2 * count; i++) { // until holes of all sizes lie between them
    remove(takeRandom(live, random));
    add();
  }
  return { live, add, remove };
}

/** One more after a random one went; a random one less after one more came. */
function moreAndLess<T>(more: Way, less: Way, count: number, { live, add, remove }: Population<T>): Contestant[] {
  const random = randomNumbers(count + 1);
  const addAndTake = (): T => {
    add();
    return takeRandom(live, random);
  };
  return [
    prepared(`${more} ${count}`, BATCH, () => remove(takeRandom(live, random)), add),
    prepared(`${less} ${count}`, BATCH, addAndTake, remove),
  ];
}

function row(results: ReadonlyMap<string, Result>, way: Way): Row {
  const of = (count: number): Result => results.get(`${way} ${count}`)!, most = Math.max(...COUNTS);
  const found = COUNTS.map((count): Row => ({ [`${count}: p50 us`]: of(count).p50 / 1000 }));
  const over = ratio(of(most), of(COUNTS[0]!)), barred = way === "shared";
  return {
    what: WAYS[way],
    ...Object.assign({}, ...found),
    [`${most}: p99 us`]: of(most).p99 / 1000,
    [`x ${COUNTS[0]}`]: over,
    ...barred && atMost(over, FLAT, ` x ${COUNTS[0]}`),
  };
}

async function holding(receiver: RuntimeName, tensors: readonly Tensor[], arenas: number): Promise<Row> {
  using child = new Child(new URL("./children/shared_live.ts", import.meta.url), receiver);
  const { descriptors, openUs, disposeUs } = await child.ask<Holding>("hold", tensors.map(({ ref }) => ref));
  const times = { "open us, mean": openUs, "dispose us, mean": disposeUs };
  return { who: `${receiver}, which opened them`, arenas, descriptors, ...times, ...bar(descriptors, arenas) };
}

function bar(descriptors: number, arenas: number) {
  return atMost(descriptors, arenas + DESCRIPTORS);
}

if (import.meta.main) {
  await header("What do thousands of live tensors in shared memory cost?");
  using ended = new DisposableStack();
  const { malloc } = ffi.open("libc.so.6", MALLOC), { free } = libc(), contestants: Contestant[] = [], rows: Row[] = [];
  const dispose = (tensor: Tensor): void => tensor[Symbol.dispose]();
  for (const count of COUNTS) {
    const before = openDescriptors(), allocator = ended.use(new SharedMemoryAllocator());
    const shared = population(count, (bytes) => allocator.tensor("uint8", [bytes]), dispose);
    const descriptors = openDescriptors() - before, { arenas } = allocator.metrics();
    if (count === Math.max(...COUNTS)) {
      rows.push({ who: `${RUNTIMES[0]}, which made them`, arenas, descriptors, ...bar(descriptors, arenas) });
      for (const receiver of RUNTIMES) rows.push(await holding(receiver, shared.live, arenas));
    }
    const native = population(count, (bytes): Tensor => Tensor.zeros("uint8", [bytes], { storage: "native" }), dispose);
    ended.defer(() => native.live.forEach(dispose));
    const blocks = population(count, (bytes): Pointer => malloc(BigInt(bytes))!, free);
    contestants.push(
      ...moreAndLess("malloc", "free", count, blocks),
      ...moreAndLess("native", "nativeDispose", count, native),
      ...moreAndLess("shared", "dispose", count, shared),
    );
  }
  table(`${Math.max(...COUNTS)} live tensors: descriptors that they took`, rows);
  const results = new Map((await contest(contestants, ROUNDS)).map((result) => [result.name, result]));
  table(
    `random ones of ${LEAST} B to ${MOST >> 10} KiB, by how many are live`,
    (Object.keys(WAYS) as Way[]).map((way) => row(results, way)),
  );
}
