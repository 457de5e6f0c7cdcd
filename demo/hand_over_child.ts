/**
 * A process that is given a batch of frames in the way it is told, and prints what that took in us.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import process from "node:process";
import { Tensor } from "../mod.ts";
import { endMarker } from "./children.ts";
import { median } from "./median.ts";

const OPENINGS = 101;

if (import.meta.main) {
  const [way, where, mark] = process.argv.slice(2) as [string, string, string];
  console.log(way === "reference" ? openAll(where, Number(mark)) : await receive(where));
  console.log(endMarker);
}

/** Opens the batch again and again, reads its last element each time, and leaves a mark there. */
function openAll(ref: string, mark: number): number {
  const times: number[] = [];
  using held = Tensor.open(ref); // so that the memory stays mapped, as it is between messages
  while (times.length < OPENINGS) {
    const started = performance.now();
    using batch = Tensor.open(ref).as("uint8");
    batch.data.at(-1);
    times.push((performance.now() - started) * 1000);
  }
  held.as("uint8").data[held.size - 1] = mark;
  return median(times);
}

async function receive(path: string): Promise<number> {
  const started = performance.now(), chunks: Uint8Array[] = [];
  for await (const chunk of net.connect(path)) chunks.push(chunk);
  Buffer.concat(chunks).at(-1);
  return (performance.now() - started) * 1000;
}
