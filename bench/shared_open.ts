/**
 * What does it cost to open another process's tensor, and does that hang on its size? This process owns the tensors;
 * one of either runtime opens them.
 */
import { SharedMemoryAllocator, type TensorRef } from "../mod.ts";
import { ratio, type Result } from "./support/contest.ts";
import { atMost, type Bar, header, type Row, table } from "./support/report.ts";
import { Child, type RuntimeName, RUNTIMES } from "./support/child.ts";

const SIZES: Record<string, number> = { "1 KiB": 1024, "100 MiB": 100 * 2 ** 20, "1 GiB": 2 ** 30 };
const SMALL = "1 KiB", LARGE = "100 MiB", FIRST_OPENS = 33;
const OPEN_US = 3, SAME = 1.25, VIEWS = 3;
const WAYS = {
  least: "floor: Map.get, a compare-and-swap, an object",
  open: "Tensor.open",
  dispose: "dispose of it",
  openAndDispose: "Tensor.open and dispose",
  parse: "floor: JSON.parse of the reference",
  openJson: "Tensor.open of JSON",
  openWord: "Tensor.open of a word",
  openReadOnly: "Tensor.open, readOnly",
  bareView: "floor: a bare view of memory",
  openAndData: "Tensor.open and .data, first",
  readOnlyAndData: "Tensor.open, readOnly, and .data, first",
  byHand: "peer: shm_open, mmap, munmap, close",
};
/** Means: a view of so much has the collector run, and a median does not see that. */
const ON_AVERAGE = {
  bareViewLeft: "floor: a bare view, left to the collector",
  bareViewDetached: "floor: a bare view, detached at once",
  openAndDataOnAverage: "Tensor.open and .data, first; disposed at once",
};

type Way = keyof typeof WAYS;
type Results = ReadonlyMap<string, Result>;

function bars(results: Results, way: Way): Bar[] {
  const us = Math.max(...Object.keys(SIZES).map((size) => results.get(`${way} ${size}`)!.p50)) / 1000;
  if (way === "open") return [atMost(us, OPEN_US, " us p50"), atMost(overSmallest(results, way), SAME, " x 1 KiB")];
  if (way === "openAndData") return [atMost(over(results, way, "bareView"), VIEWS, ` x a bare view of ${LARGE}`)];
  return [];
}

/** How many times as long as the smallest the largest take. */
function overSmallest(results: Results, way: Way): number {
  const over = Object.keys(SIZES).map((size) => ratio(results.get(`${way} ${size}`)!, results.get(`${way} ${SMALL}`)!));
  return Math.max(...over);
}

function over(results: Results, way: string, other: string): number {
  return ratio(results.get(`${way} ${LARGE}`)!, results.get(`${other} ${LARGE}`)!);
}

function row(results: Results, way: Way): Row {
  const found = Object.keys(SIZES).map((size): Row => {
    const { p50, p99 } = results.get(`${way} ${size}`)!;
    return { [`${size}: p50 us`]: p50 / 1000, [`${size}: p99 us`]: p99 / 1000 };
  });
  const met = bars(results, way);
  return {
    what: WAYS[way],
    ...Object.assign({}, ...found),
    "x 1 KiB": overSmallest(results, way),
    "x bare view": way.endsWith("Data") ? over(results, way, "bareView") : undefined,
    bar: met.map(({ bar }) => bar).join(", "),
    met: met.map(({ met }) => met).join(", "),
  };
}

function averageRow(results: Results, way: keyof typeof ON_AVERAGE): Row {
  const found = Object.keys(SIZES).map((size): Row => ({ [`${size}: us`]: results.get(`${way} ${size}`)!.p50 / 1000 }));
  const overLeft = over(results, way, "bareViewLeft");
  return {
    what: ON_AVERAGE[way],
    ...Object.assign({}, ...found),
    "x one left": overLeft,
    "x one detached": over(results, way, "bareViewDetached"),
    ...way === "openAndDataOnAverage" && atMost(overLeft, VIEWS, ` x a bare view of ${LARGE}`),
  };
}

async function measure(receiver: RuntimeName, refs: Readonly<Record<string, TensorRef>>): Promise<void> {
  using child = new Child(new URL("./children/shared_open.ts", import.meta.url), receiver);
  const results = new Map((await child.ask<Result[]>("contest", refs)).map((result) => [result.name, result]));
  table(
    `${RUNTIMES[0]} owns, ${receiver} opens, arena mapped already`,
    (Object.keys(WAYS) as Way[]).map((way) => row(results, way)),
  );
  table(
    "of them, with their share of the collector's work: medians of the rounds' means",
    (Object.keys(ON_AVERAGE) as (keyof typeof ON_AVERAGE)[]).map((way) => averageRow(results, way)),
  );
  using owners = new DisposableStack();
  const tensors = Array.from({ length: FIRST_OPENS }, () => {
    const allocator = owners.use(new SharedMemoryAllocator({ arenaBytes: 2 ** 20 }));
    return owners.use(allocator.tensor("float32", [256]));
  });
  const us = await child.ask<number>("first", tensors.map(({ ref }) => ref));
  table("beside it, the first of each arena, which maps it", [{ what: WAYS.open, "p50 us": us }]);
}

if (import.meta.main) {
  await header("What does it cost to open another process's tensor, and does that hang on its size?");
  using allocator = new SharedMemoryAllocator();
  const tensors = Object.entries(SIZES).map(([size, bytes]) =>
    [size, allocator.tensor("float32", [bytes / 4])] as const
  );
  const refs = Object.fromEntries(tensors.map(([size, { ref }]) => [size, ref]));
  for (const receiver of RUNTIMES) await measure(receiver, refs);
  for (const [, tensor] of tensors) tensor[Symbol.dispose](); // they are needed until here
}
