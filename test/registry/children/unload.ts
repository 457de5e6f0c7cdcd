// Loads and unloads a model, and prints what it took and what is left of that, in MB.
import process from "node:process";
import { models } from "../../../mod.ts";
import { add } from "../../support/models.ts";
import { writtenBytes } from "../../support/memory.ts";

const path = process.argv[2]!, how = process.argv[3]!, megabytes = (bytes: number): number => Math.round(bytes / 1e6);

async function round(): Promise<[number, number]> {
  const before = writtenBytes();
  await using session = await models.load(path, { ttlMs: how === "ttl 0" ? 0 : -1 });
  const held = writtenBytes() - before;
  await session[Symbol.asyncDispose]();
  if (how === "unload") await models.unload(path);
  return [held, writtenBytes() - before];
}

using _small = await models.load(add());
await round(); // what onnxruntime needs anyway
const [held, left] = await round();
console.log(`held ${megabytes(held)} left ${megabytes(left)}`);
console.log("END");
