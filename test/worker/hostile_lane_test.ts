import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { Tensor } from "../../mod.ts";
import { ModelClient } from "../../src/client/mod.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { writtenBytes } from "../support/memory.ts";
import { descriptorsOf, Helper, lanesOf, until, WorkerProcess } from "./children/helper.ts";
import { type ModelName, writeModels } from "./children/models.ts";

const SEED = Number(process.env.COLOAD_SEED ?? 1);
/** How much longer than by default. */
const EFFORT = Number(process.env.COLOAD_EFFORT ?? 0.25);
const MODELS: readonly ModelName[] = ["add", "gather", "casts", "largest", "strings", "sum", "slow"];
/** Descriptors of threads that the runtime or the pool starts when they are first needed. */
const COME_LATER = 4;
const MOST_GROWTH = 512 << 20;

/** What a worker has for its clients. */
const heldFor = (pid: number): string[] => descriptorsOf(pid).filter((name) => /coload-lane|socket/.test(name));

/** Has an honest client ask again and again until it is told to stop. Resolves with how often it was answered. */
async function askMeanwhile(client: ModelClient, stopped: () => boolean): Promise<number> {
  let answers = 0;
  for (; !stopped(); answers++) {
    const a = Tensor.from(Float32Array.of(1, 2, 3, answers)), b = Tensor.from(Float32Array.of(10, 20, 30, 40));
    const { c } = await client.infer("add", { a, b }, { timeoutMs: 15_000 });
    assert.deepEqual([...c!.as("float32").data], [11, 22, 33, answers + 40]);
  }
  return answers;
}

describe("a client that writes into its memory", () => {
  let folder: TemporaryFolder;
  before(() => {
    folder = new TemporaryFolder();
  });
  after(() => folder[Symbol.dispose]());

  const attacks = [
    ["requests", 4000, "requests in which something is wrong"],
    ["words", 3000, "anything anywhere before the heap"],
    ["page", 1500, "anything into what all clients see"],
    ["draining", 500, "that the worker takes no more requests"],
    ["indices", 1500, "other indices while they are used"],
    ["sorting", 2500, "other numbers while they are sorted"],
    ["model", 20, "another model, while a request waits for its turn"],
    ["changing", 2500, "other words, descriptions and tensors while requests run"],
  ] as const;

  for (const [attack, rounds, what] of attacks) {
    it(`${what} hurts nobody but itself`, async () => {
      await using worker = await WorkerProcess.start({ models: writeModels(folder, MODELS), executors: 2 });
      await using client = await ModelClient.connect(worker.socket);
      await using warm = new Helper("./hostile_lane.ts", [worker.socket, "requests", SEED, 1]); // threads that come once
      assert.equal((await warm.ended).code, 0);
      await until("its lane is gone", () => lanesOf(worker.pid) === 1);
      const held = heldFor(worker.pid), lanes = lanesOf(worker.pid), memory = writtenBytes(worker.pid);

      let isOver = false;
      const honest = askMeanwhile(client, () => isOver);
      honest.catch(() => {}); // seen below
      await using hostile = new Helper("./hostile_lane.ts", [worker.socket, attack, SEED, rounds * EFFORT]);
      const { code, stderr } = await hostile.ended;
      isOver = true;
      assert.deepEqual([code, stderr], [0, ""]);
      assert.ok(await honest > 0);

      await until("its lane is gone", () => lanesOf(worker.pid) === lanes);
      await until("its descriptors are closed", () => heldFor(worker.pid).length <= held.length + COME_LATER);
      assert.deepEqual((await client.status()).clients.map(({ pid }) => pid), [process.pid]);
      assert.ok(writtenBytes(worker.pid) - memory < MOST_GROWTH);
      assert.deepEqual(await worker.exit(), { code: 0, signal: null, stderr: "" });
    });
  }
});
