/**
 * Kills processes that share memory, at random instants, one after the other. Two of each runtime run at a time: one to
 * be killed, and one that must survive. Prints what is left as JSON.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { sweepSharedMemory } from "../../../src/memory/regions.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { formatTensorRef } from "../../../src/tensor/tensor_ref.ts";
import { commandOf, missing, type Runtime } from "./peer.ts";

/** What this script prints. */
export interface Toll {
  readonly kills: number;
  /** References that the survivors opened, and that were gone. */
  readonly opened: number;
  readonly stale: number;
  /** What anybody complained of. */
  readonly complaints: readonly string[];
  /** What the sweeps removed at the end, and what was left of the dead in /dev/shm after them. */
  readonly swept: number;
  readonly left: readonly string[];
  readonly isIntact: boolean;
  readonly bytesInUse: readonly [before: number, after: number];
}

const SCRIPT = fileURLToPath(new URL("chaos.ts", import.meta.url));
const FILL = 0x5a, LONGEST_MS = 150, PATIENCE_MS = 20_000, MOST_UNREAD = 2000;

const kills = Number(process.argv[2]), runtimes = (["deno", "bun"] as const).filter((runtime) => !missing(runtime));
const alive = new Set<ChildProcess>();
const complaints: string[] = [], words: string[] = [];

function namesInMemory(): string[] {
  return readdirSync("/dev/shm").filter((name) => name.startsWith("coload-"));
}

/** Sends a reference to somebody, be it a survivor or who is killed before reading it; to nobody who is behind. */
function passOn(word: string): void {
  const receivers = [...alive], { stdin } = receivers[Math.floor(Math.random() * receivers.length)] ?? {};
  if (stdin && stdin.writableLength < MOST_UNREAD) stdin.write(word + "\n");
}

/** A process that was started, and is at work. */
interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  /** What it said last, when all it said was read. */
  readonly lastLine: Promise<string>;
}

async function start(runtime: Runtime): Promise<Started> {
  const [program, ...args] = commandOf(runtime, SCRIPT), child = spawn(program!, args, { stdio: "pipe" });
  const lines = createInterface({ input: child.stdout }), ready = Promise.withResolvers<void>();
  let last = "";
  lines.on("line", (line) => {
    last = line;
    if (line === "ready") ready.resolve();
    else if (line.startsWith("coload-tensor,") && line.split(",").length === 8) passOn(line);
  });
  const lastLine = new Promise<string>((resolve) => lines.on("close", () => resolve(last)));
  child.stdin.on("error", () => {}); // it is being killed
  child.stderr.on("data", (chunk) => complaints.push(`${runtime}: ${chunk}`));
  const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
  void ended.then(() => {
    alive.delete(child);
    ready.resolve();
  });
  await ready.promise;
  alive.add(child);
  for (const word of words) child.stdin.write(word + "\n");
  return { child, ended, lastLine };
}

async function killOne(runtime: Runtime): Promise<void> {
  const { child, ended } = await start(runtime);
  await setTimeout(Math.random() * LONGEST_MS);
  process.kill(child.pid!, "SIGKILL"); // its own kill() ends its input first, on Deno
  await ended;
}

const before = namesInMemory();
using named = new SharedMemoryAllocator({ backend: "named" }), memfd = new SharedMemoryAllocator({ backend: "memfd" });
const live: Tensor<"uint8">[] = [named, memfd].map((allocator) => allocator.tensor("uint8", [1 << 20]));
for (const tensor of live) tensor.data.fill(FILL);
words.push(...live.map(({ ref }) => formatTensorRef(ref)));
const inUse = () => named.metrics().bytesInUse + memfd.metrics().bytesInUse, bytesBefore = inUse();

const survivors = await Promise.all(runtimes.map(start));
const rounds = runtimes.map(async (runtime, i) => {
  for (let kill = i; kill < kills; kill += runtimes.length) await killOne(runtime);
});
await Promise.all(rounds);

let opened = 0, stale = 0;
alive.clear();
for (const { child, ended, lastLine } of survivors) {
  child.stdin!.end();
  const code = await ended, line = await lastLine, said = line.startsWith("{") ? JSON.parse(line) : undefined;
  if (code !== 0 || said === undefined) complaints.push(`a survivor ended with ${code}, and said ${line}`);
  opened += said?.opened ?? 0;
  stale += said?.stale ?? 0;
}
const own = live.map(({ ref }) => ref.region), deadline = performance.now() + PATIENCE_MS;
const remaining = () => namesInMemory().filter((name) => !before.includes(name) && !own.includes(name));
let swept = 0;
do swept += sweepSharedMemory().count; while (
  (remaining().length > 0 || inUse() > bytesBefore) && performance.now() < deadline && await setTimeout(20, true)
);
const toll: Toll = {
  kills,
  opened,
  stale,
  complaints,
  swept,
  left: remaining(),
  isIntact: live.every(({ data }) => data.every((byte) => byte === FILL)),
  bytesInUse: [bytesBefore, inUse()],
};
console.log(JSON.stringify(toll));
for (const tensor of live) tensor[Symbol.dispose]();
