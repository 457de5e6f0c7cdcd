/**
 * Does shared memory grow or crumble when four Workers make and dispose of tensors of random sizes, and hand some to one
 * another? `--tensors=1000000` makes so many; 100,000 are the default. It is the system that says, and not mitata.
 */
import process from "node:process";
import type { AllocatorMetrics } from "../mod.ts";
import type { News, Order } from "./children/shared_soak_worker.ts";
import { megabytes, memory } from "./support/memory.ts";
import { atMost, header, type Row, table } from "./support/report.ts";
import { remaining, sharedPages } from "./support/shared_memory.ts";

const WORKERS = 4, ROUNDS = 20, WARM = 4, TENSORS = 100_000;
/** By how much the memory may grow after the first rounds; how much it may be in pieces. */
const WITHIN = 1.1, IN_PIECES = 0.9;

/** A Worker, and who waits for what it says. */
interface Crew {
  readonly worker: Worker;
  waiting: PromiseWithResolvers<News> | undefined;
}

interface Found {
  readonly tensors: number;
  readonly opened: number;
  readonly perSecond: number;
  readonly arenas: number;
  readonly reserved: number;
  readonly inUse: number;
  readonly fragmentation: number;
  readonly shared: number;
  readonly heaps: number;
  readonly pss: number;
}

const script = new URL("./children/shared_soak_worker.ts", import.meta.url);
const crews = Array.from({ length: WORKERS }, (): Crew => {
  const worker = new Worker(script, { type: "module" });
  return { worker, waiting: undefined };
});

function tell(index: number, order: Order): void {
  crews[index]!.worker.postMessage(order);
}

function listen({ worker }: Crew, index: number): void {
  worker.onmessage = ({ data }: { readonly data: News }) => {
    if (data.is === "lent") tell((index + 1) % WORKERS, { is: "open", lent: data.lent });
    else if (data.is === "opened") tell(data.from, { is: "opened", id: data.id });
    else crews[index]!.waiting!.resolve(data);
  };
  worker.onerror = ({ message }) => {
    console.error(message);
    process.exit(1);
  };
}

/** Has every Worker do something, and resolves with what they say when they are done. */
function all<N extends News["is"]>(order: Order): Promise<Extract<News, { is: N }>[]> {
  const said = crews.map((crew, index) => {
    crew.waiting = Promise.withResolvers<News>();
    tell(index, order);
    return crew.waiting.promise;
  });
  return Promise.all(said) as Promise<Extract<News, { is: N }>[]>;
}

function sum(metrics: readonly AllocatorMetrics[], of: (metrics: AllocatorMetrics) => number): number {
  return metrics.reduce((total, each) => total + of(each), 0);
}

async function round(tensors: number): Promise<Found> {
  const started = performance.now(), ran = await all<"ran">({ is: "run", tensors: tensors / WORKERS });
  const seconds = (performance.now() - started) / 1000, metrics = ran.map(({ metrics }) => metrics);
  return {
    tensors: ran.reduce((total, { made }) => total + made, 0),
    opened: ran.reduce((total, { opened }) => total + opened, 0),
    perSecond: tensors / seconds,
    arenas: sum(metrics, ({ arenas }) => arenas),
    reserved: sum(metrics, ({ bytesReserved }) => bytesReserved),
    inUse: sum(metrics, ({ bytesInUse }) => bytesInUse),
    fragmentation: Math.max(...metrics.map(({ fragmentation }) => fragmentation)),
    shared: sharedPages(),
    heaps: ran.reduce((total, { heapBytes }) => total + heapBytes, 0),
    pss: memory().pssWithoutFiles,
  };
}

function row(found: Found): Row {
  return {
    tensors: found.tensors,
    "opened by another": found.opened,
    "tensors/s": found.perSecond,
    arenas: found.arenas,
    "reserved MB": megabytes(found.reserved),
    "in use MB": megabytes(found.inUse),
    "fragmentation, worst": found.fragmentation,
    "shared PSS MB": megabytes(found.shared),
    "heaps in use MB": megabytes(found.heaps),
    "PSS MB": megabytes(found.pss),
  };
}

/** The most of the later rounds, and of the first ones, which warm up. */
function growth(what: string, found: readonly Found[], of: (found: Found) => number, limit: number): Row {
  const warm = Math.max(...found.slice(0, WARM).map(of)), after = Math.max(...found.slice(WARM).map(of));
  return { what, [`most of the first ${WARM}`]: warm, "most after": after, ...atMost(after / warm, limit, " x") };
}

if (import.meta.main) {
  await header("Does shared memory grow or crumble under four Workers?");
  const given = process.argv.find((argument) => argument.startsWith("--tensors="))?.split("=")[1];
  const perRound = Math.ceil(Number(given ?? TENSORS) / ROUNDS / WORKERS) * WORKERS, found: Found[] = [];
  crews.forEach(listen);
  crews.forEach((_, seed) => tell(seed, { is: "start", seed }));
  while (found.length < ROUNDS) found.push(await round(perRound));
  table(`${WORKERS} Workers, tensors of 64 B to 1 MiB, contents checked`, found.map(row));
  await all<"settled">({ is: "settle" });
  const ended = await all<"ended">({ is: "end" }), left = remaining(ended.flatMap(({ regions }) => regions));
  const handles = ended.map(({ left }) => Object.values(left).reduce((total, count) => total + count, 0));
  for (const { worker } of crews) worker.terminate();
  const worst = Math.max(...found.slice(WARM).map(({ fragmentation }) => fragmentation));
  const touched = Math.max(...found.slice(WARM).map(({ shared, reserved }) => shared / reserved));
  table("growth", [
    growth("arenas", found, ({ arenas }) => arenas, 1),
    growth("reserved MB", found, ({ reserved }) => megabytes(reserved), 1),
    growth("heaps in use MB", found, ({ heaps }) => megabytes(heaps), WITHIN),
    growth("PSS without files MB", found, ({ pss }) => megabytes(pss), WITHIN),
    { what: "shared PSS over reserved", "most after": touched, ...atMost(touched, 1, " x") },
    { what: "fragmentation, worst", "most after": worst, ...atMost(worst, IN_PIECES) },
    { what: "names left in /dev/shm", "most after": left.length, ...atMost(left.length, 0) },
    { what: "handles and bytes left", "most after": Math.max(...handles), ...atMost(Math.max(...handles), 0) },
  ]);
}
