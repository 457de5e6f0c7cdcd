// Runs a session 10,000 times without a dispose, and prints by how many KiB the process grew: see memory_test.ts.
import process from "node:process";
import { InferenceSession } from "../../../src/session/inference_session.ts";
import { Tensor } from "../../../src/tensor/tensor.ts";
import { writtenBytes } from "../../support/memory.ts";
import { add } from "../../support/models.ts";

const LENGTH = 1 << 14, RUNS = 10_000;

const session = await InferenceSession.create(add({ shape: process.argv[3] === "dynamic" ? ["N"] : [LENGTH] }));
const feeds = { a: Tensor.zeros("float32", [LENGTH]), b: Tensor.zeros("float32", [LENGTH]) };
const kept: unknown[] = [];

async function runs(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    switch (process.argv[2]) {
      case "sync":
        session.runSync(feeds);
        break;
      case "async":
        await session.run(feeds);
        break;
      case "leak":
        kept.push(await session.run(feeds, { outputStorage: "native" }));
    }
  }
}

await runs(500);
const before = writtenBytes();
await runs(RUNS);
console.log(`grown by ${(writtenBytes() - before) / 1024} KiB`);
await session[Symbol.asyncDispose]();
