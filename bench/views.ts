/** What does it cost to see a tensor's memory, and does that hang on its size? */
import { measure } from "mitata";
import { ffi } from "../ffi/mod.ts";
import { libc } from "../ffi/libc.ts";
import { mapMemory } from "../ffi/native_memory.ts";
import { Tensor } from "../mod.ts";
import { calling, contest, type Contestant } from "./support/contest.ts";
import { header, type Row, table } from "./support/report.ts";

const SIZES = { "1 KB": 1024, "100 MiB": 100 * 2 ** 20 };

/** Times what can be done once to each thing, over many, which are made before the clock runs and dropped after. */
function once<T>(name: string, length: number, make: () => T, look: (made: T) => unknown, drop: (made: T) => void) {
  const batch = length > 1e6 ? 8 : 64, made: T[] = [];
  const next = (): T => {
    if (made.length === 2 * batch) made.splice(0, batch).forEach(drop);
    made.push(make());
    return made.at(-1)!;
  };
  const batches = { batch_samples: batch, batch_threshold: Infinity, warmup_threshold: Infinity };
  return {
    name,
    async measure(budgetMs: number): Promise<number[]> {
      const options = { gc: false, min_cpu_time: budgetMs * 1e5, min_samples: 8, max_samples: 20, ...batches } as const;
      const { samples } = await measure(function* () {
        yield { 0: next, bench: look };
      }, options);
      made.splice(0).forEach(drop);
      return samples;
    },
  };
}

function first(name: string, storage: "heap" | "native", length: number): Contestant {
  const make = (): Tensor => Tensor.zeros("float32", [length / 4], { storage });
  return once(name, length, make, (tensor) => tensor.data, (tensor) => tensor[Symbol.dispose]());
}

function ways(length: number): Contestant[] {
  const memory = mapMemory(length), copy = new Uint8Array(length).fill(1), { memcpy } = libc();
  new Uint8Array(ffi.view(memory.pointer, length)).fill(2);
  const native = Tensor.zeros("float32", [length / 4], { storage: "native" });
  const heap = Tensor.zeros("float32", [length / 4]);
  const bare = (): Float32Array => new Float32Array(ffi.view(memory.pointer, length));
  return [
    first("native Tensor.data, first", "native", length),
    calling("native Tensor.data, again", () => native.data),
    first("heap Tensor.data, first", "heap", length),
    calling("heap Tensor.data, again", () => heap.data),
    once("a bare view of memory", length, () => undefined, bare, () => {}),
    calling("memcpy of it", () => memcpy(copy, memory.pointer, BigInt(length))),
  ];
}

if (import.meta.main) {
  await header("What does it cost to see a tensor's memory, and does that hang on its size?");
  const rows = new Map<string, Row>();
  for (const [size, length] of Object.entries(SIZES)) {
    for (const { name, p50, p99 } of await contest(ways(length))) {
      const found = { [`${size}: p50 us`]: p50 / 1000, [`${size}: p99 us`]: p99 / 1000 };
      rows.set(name, { ...rows.get(name) ?? { what: name }, ...found });
    }
  }
  table("one view", [...rows.values()]);
}
