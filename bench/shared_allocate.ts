/** What does it cost to make a tensor in shared memory that was in use before, and to let it go? */
import { libc } from "../ffi/libc.ts";
import { mapMemory, unmapMemory } from "../ffi/native_memory.ts";
import { ffi } from "../ffi/mod.ts";
import { SharedMemoryAllocator, Tensor } from "../mod.ts";
import { contest, type Contestant, ratio, type Result } from "./support/contest.ts";
import { atMost, header, type Row, table } from "./support/report.ts";
import { undone } from "./support/shared_timing.ts";

const SIZES: Record<string, number> = { "1 KiB": 1024, "1 MiB": 2 ** 20, "100 MiB": 100 * 2 ** 20 };
const BARRED = "1 MiB", BAR_US = 10, BATCH = 64;
const MALLOC = { malloc: { parameters: ["usize"], result: "pointer" } } as const; // void *(size_t)
const WAYS = {
  malloc: "floor: malloc and free",
  mmap: "floor: mmap and munmap",
  shared: "allocator.tensor and dispose",
  sharedAndData: "the same, with .data",
  scoped: "the same in a scope, without",
  native: "peer: a native tensor and dispose",
};

type Way = keyof typeof WAYS;

function ways(allocator: SharedMemoryAllocator, size: string, bytes: number): Contestant[] {
  const { malloc } = ffi.open("libc.so.6", MALLOC), { free } = libc(), scope = allocator.scope(), shape = [bytes / 4];
  const native = (): Tensor => Tensor.zeros("float32", shape, { storage: "native" });
  const dispose = (tensor: Tensor): void => tensor[Symbol.dispose]();
  const lookAndDispose = (tensor: Tensor): void => {
    tensor.data;
    tensor[Symbol.dispose]();
  };
  const calls: Record<Way, () => void> = {
    malloc: () => free(malloc(BigInt(bytes))),
    mmap: () => unmapMemory(mapMemory(bytes)),
    shared: () => dispose(allocator.tensor("float32", shape)),
    sharedAndData: () => lookAndDispose(allocator.tensor("float32", shape)),
    scoped: () => dispose(scope.tensor("float32", shape)),
    native: () => dispose(native()),
  };
  return Object.entries(calls).map(([way, call]) => undone(`${way} ${size}`, BATCH, call, () => {}));
}

function row(results: ReadonlyMap<string, Result>, way: Way): Row {
  const found = Object.keys(SIZES).map((size): Row => {
    const { p50, p99 } = results.get(`${way} ${size}`)!;
    return { [`${size}: p50 us`]: p50 / 1000, [`${size}: p99 us`]: p99 / 1000 };
  });
  const barred = results.get(`${way} ${BARRED}`)!;
  return {
    what: WAYS[way],
    ...Object.assign({}, ...found),
    "1 MiB: x mmap": ratio(barred, results.get(`mmap ${BARRED}`)!),
    ...way.startsWith("shared") && atMost(barred.p50 / 1000, BAR_US, ` us p50 of ${BARRED}`),
  };
}

if (import.meta.main) {
  await header("What does it cost to make a tensor in shared memory that was in use before, and to let it go?");
  using allocator = new SharedMemoryAllocator();
  const all = Object.entries(SIZES).flatMap(([size, bytes]) => ways(allocator, size, bytes));
  const results = new Map((await contest(all, 9)).map((result) => [result.name, result]));
  table("made and disposed of", (Object.keys(WAYS) as Way[]).map((way) => row(results, way)));
}
