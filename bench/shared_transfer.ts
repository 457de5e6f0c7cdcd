/**
 * What does it cost to give 100 MiB to another process? From the tensor in hand here to the answer of a process of
 * either runtime that has read its first and its last element.
 */
import { Buffer } from "node:buffer";
import { SharedMemoryAllocator, Tensor } from "../mod.ts";
import { contest, type Contestant, ratio, type Result } from "./support/contest.ts";
import { ScratchFolder } from "./support/ending.ts";
import { atLeast, type Bar, header, type Row, table } from "./support/report.ts";
import { Child, type RuntimeName, RUNTIMES } from "./support/child.ts";
import { type Ends, Link } from "./support/shared_link.ts";
import { each } from "./support/shared_timing.ts";

const BYTES = 100 * 2 ** 20, ROUNDS = 5;
const REFERENCE_TIMES = 100, COPY_TIMES = 4, SAVED = 95;
const WAYS = {
  nothing: "floor: an empty message and its answer",
  reference: "by reference",
  copied: "copied into shared memory once, and by reference",
  raw: "peer: raw bytes over a socket",
  serialized: "peer: as bytes (toBytes, fromBytes) over a socket",
  json: "peer: base64 in JSON over a socket",
};

type Way = keyof typeof WAYS;
type Results = ReadonlyMap<string, Result>;

/** Sends so many times by each way, of an array in the heap or of the same in shared memory. */
function ways(link: Link, heap: Tensor<"float32">, shared: Tensor<"float32">, to: SharedMemoryAllocator): Contestant[] {
  let count = 0;
  const way = (name: Way, calls: number, source: Tensor<"float32">, send: () => Promise<Ends>): Contestant =>
    each(name, calls, async () => {
      const { data } = source, mark = ++count % 1000;
      data[0] = data[data.length - 1] = mark;
      const [first, last] = await send();
      if (name !== "nothing" && (first !== mark || last !== mark)) throw new Error(`${name}: other data arrived`);
    });
  return [
    way("nothing", 64, heap, () => link.send("nothing", "")),
    way("reference", 64, shared, () => link.send("reference", JSON.stringify(shared.ref))),
    way("copied", 5, heap, async () => {
      using copy = to.share(heap);
      return await link.send("reference", JSON.stringify(copy.ref));
    }),
    way("raw", 5, heap, () => link.send("raw", new Uint8Array(heap.data.buffer))),
    way("serialized", 5, heap, () => link.send("serialized", heap.toBytes())),
    way("json", 1, heap, () => {
      const { dtype, shape } = heap, data = Buffer.from(heap.data.buffer).toString("base64");
      return link.send("json", JSON.stringify({ dtype, shape, data }));
    }),
  ];
}

function bar(results: Results, way: Way): Bar | undefined {
  const times = ratio(results.get("raw")!, results.get(way)!);
  if (way === "reference") return atLeast(times, REFERENCE_TIMES, " x raw");
  return way === "copied" ? atLeast(times, COPY_TIMES, " x raw") : undefined;
}

function row(results: Results, way: Way): Row {
  const { p50, p99 } = results.get(way)!, us = p50 / 1000;
  return {
    what: WAYS[way],
    "p50 us": us,
    "p99 us": p99 / 1000,
    "GB/s": way === "nothing" ? undefined : BYTES / p50,
    "x as fast as raw": way === "nothing" ? undefined : ratio(results.get("raw")!, results.get(way)!),
    ...bar(results, way),
  };
}

function savings(results: Results, sender: RuntimeName, receiver: RuntimeName): Row {
  const percent = 100 * (1 - ratio(results.get("reference")!, results.get("serialized")!));
  return {
    from: sender,
    to: receiver,
    "by reference us": results.get("reference")!.p50 / 1000,
    "as bytes us": results.get("serialized")!.p50 / 1000,
    "less overhead %": percent,
    ...atLeast(percent, SAVED, " %"),
  };
}

async function measure(receiver: RuntimeName): Promise<Row> {
  using folder = new ScratchFolder();
  using child = new Child(new URL("./children/shared_transfer.ts", import.meta.url), receiver);
  using allocator = new SharedMemoryAllocator();
  const path = folder.join("socket");
  await child.ask("listen", path);
  using link = await Link.open(path);
  const heap = Tensor.from(new Float32Array(BYTES / 4).fill(0.5));
  using shared = allocator.share(heap);
  const found = await contest(ways(link, heap, shared, allocator), ROUNDS);
  const results = new Map(found.map((result) => [result.name, result]));
  table(`100 MiB from ${RUNTIMES[0]} to ${receiver}`, (Object.keys(WAYS) as Way[]).map((way) => row(results, way)));
  return savings(results, RUNTIMES[0]!, receiver);
}

if (import.meta.main) {
  await header("What does it cost to give 100 MiB to another process?");
  const rows: Row[] = [];
  for (const receiver of RUNTIMES) rows.push(await measure(receiver));
  table("overhead against raw serialization", rows);
}
