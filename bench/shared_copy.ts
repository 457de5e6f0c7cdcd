/** How fast is data copied into shared memory, beside memcpy? Warm memory is what an allocator hands out again. */
import { copyMemory } from "../ffi/copy_memory.ts";
import { ffi } from "../ffi/mod.ts";
import { mapMemory, unmapMemory } from "../ffi/native_memory.ts";
import { SharedMemoryAllocator, Tensor } from "../mod.ts";
import { contest, type Contestant, ratio, type Result } from "./support/contest.ts";
import { atLeast, type Bar, header, type Row, table } from "./support/report.ts";
import { each } from "./support/shared_timing.ts";

const BYTES = 100 * 2 ** 20, ROUNDS = 9, CALLS = 8, COLD_CALLS = 2, BAR = 0.9;
const WAYS = {
  memcpy: "floor: memcpy, warm native memory",
  share: "share() of a heap tensor",
  shareNative: "share() of a native tensor",
  set: ".data.set() of a tensor's array",
  setView: "beside: set() between views of native memory",
  memcpyCold: "floor: mmap, memcpy, munmap",
  shareCold: "share() with a new allocator",
};

type Way = keyof typeof WAYS;
const BARRED: readonly string[] = ["share", "shareNative", "set"];

function ways(allocator: SharedMemoryAllocator): Contestant[] {
  const from = mapMemory(BYTES), to = mapMemory(BYTES);
  const source = new Float32Array(ffi.view(from.pointer, BYTES)).fill(1);
  const target = new Float32Array(ffi.view(to.pointer, BYTES)).fill(2), array = new Float32Array(BYTES / 4).fill(3);
  const heap = Tensor.from(array), native = Tensor.zeros("float32", [BYTES / 4], { storage: "native" });
  const warm = allocator.tensor("float32", [BYTES / 4]);
  native.data.fill(4);
  warm.data.fill(5);
  allocator.share(heap)[Symbol.dispose](); // from here on there is warm memory to be had
  return [
    each("memcpy", CALLS, () => copyMemory(to.pointer, from.pointer, BYTES)),
    each("share", CALLS, () => allocator.share(heap)[Symbol.dispose]()),
    each("shareNative", CALLS, () => allocator.share(native)[Symbol.dispose]()),
    each("set", CALLS, () => warm.data.set(array)),
    each("setView", CALLS, () => target.set(source)),
    each("memcpyCold", COLD_CALLS, () => {
      const cold = mapMemory(BYTES);
      copyMemory(cold.pointer, from.pointer, BYTES);
      unmapMemory(cold);
    }),
    each("shareCold", COLD_CALLS, () => {
      using other = new SharedMemoryAllocator();
      other.share(heap);
    }),
  ];
}

function row(results: ReadonlyMap<string, Result>, way: Way): Row {
  const { p50, p99 } = results.get(way)!, floor = results.get(way.endsWith("Cold") ? "memcpyCold" : "memcpy")!;
  const speed = ratio(floor, results.get(way)!);
  const bar: Bar | undefined = BARRED.includes(way) ? atLeast(speed, BAR, " x memcpy") : undefined;
  return {
    what: WAYS[way],
    "p50 ms": p50 / 1e6,
    "p99 ms": p99 / 1e6,
    "GB/s": BYTES / p50,
    "x its floor's speed": speed,
    ...bar,
  };
}

if (import.meta.main) {
  await header("How fast is data copied into shared memory, beside memcpy?");
  using allocator = new SharedMemoryAllocator();
  const results = new Map((await contest(ways(allocator), ROUNDS)).map((result) => [result.name, result]));
  table("100 MiB", (Object.keys(WAYS) as Way[]).map((way) => row(results, way)));
}
