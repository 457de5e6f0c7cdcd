import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Tensor } from "../../mod.ts";
import type { ModelClient } from "../../src/client/mod.ts";
import { add, dynamicOutput } from "../support/models.ts";
import { floats } from "../support/sessions.ts";
import { soon } from "./support.ts";
import { WorkerProcess } from "./worker_process.ts";

const feeds = (i: number): { a: Tensor; b: Tensor } => ({ a: floats([i, 1]), b: floats([i, 2]) });

describe("many requests at once", () => {
  let worker: WorkerProcess;
  before(async () => {
    worker = await WorkerProcess.start({ add: add(), dynamic: dynamicOutput() }, { executors: 2 });
  });
  after(() => worker[Symbol.asyncDispose]());

  for (const sharedMemory of [true, false]) {
    describe(sharedMemory ? "through shared memory" : "as bytes", () => {
      it("of one client, more than there are slots", async () => {
        await using client = await worker.connect({ sharedMemory });
        for (let round = 0; round < 2; round++) {
          const requests = Array.from({ length: 1000 }, (_, i) => client.infer("add", feeds(i)));
          for (const [i, { c }] of (await soon(Promise.all(requests))).entries()) {
            assert.deepEqual([...c!.data], [2 * i, 3]);
          }
        }
      });

      it("of one client, of other shapes each, some refused", async () => {
        await using client = await worker.connect({ sharedMemory });
        const requests = Array.from({ length: 200 }, (_, i) => {
          if (i % 3 === 0) return client.infer("add", { a: floats([i, 1]) });
          if (i % 3 === 1) return client.infer("add", feeds(i));
          return client.infer("dynamic", { x: Tensor.from(new Float32Array(i * 10).fill(1)) });
        });
        for (const [i, end] of (await soon(Promise.allSettled(requests))).entries()) {
          if (end.status === "rejected") assert.deepEqual([i % 3, end.reason.code], [0, "MISSING_FEED"]);
          else if (i % 3 === 1) assert.deepEqual([...end.value.c!.data], [2 * i, 3]);
          else assert.deepEqual(end.value.y!.shape, [1, i * 10]);
        }
      });

      it("of many clients", async () => {
        const clients = await soon(Promise.all(Array.from({ length: 20 }, () => worker.connect({ sharedMemory }))));
        const ask = async (client: ModelClient, i: number): Promise<void> => {
          for (let round = 0; round < 5; round++) {
            const results = await Promise.all(
              Array.from({ length: 20 }, (_, k) => client.infer("add", feeds(i * 100 + k))),
            );
            for (const [k, { c }] of results.entries()) assert.deepEqual([...c!.data], [2 * (i * 100 + k), 3]);
          }
        };
        await soon(Promise.all(clients.map(ask)));
        const { clients: known } = await clients[0]!.status();
        assert.ok(known.length >= 20);
        assert.equal(new Set(known.map(({ id }) => id)).size, known.length);
        for (const client of clients) await client[Symbol.asyncDispose]();
      });
    });
  }

  it("while others run synchronously", async () => {
    await using client = await worker.connect();
    await using model = await client.model("add");
    const requests = Array.from({ length: 500 }, (_, i) => model.run(feeds(i)));
    for (let i = 0; i < 50; i++) assert.deepEqual([...model.runSync(feeds(i)).c!.data], [2 * i, 3]);
    await null;
    for (let i = 0; i < 50; i++) assert.deepEqual([...model.runSync(feeds(i)).c!.data], [2 * i, 3]);
    for (const [i, { c }] of (await soon(Promise.all(requests))).entries()) assert.deepEqual([...c!.data], [2 * i, 3]);
  });

  it("whose results find no room are kept for them", async () => {
    await using client = await worker.connect();
    for (let round = 0; round < 3; round++) {
      const requests = Array.from(
        { length: 100 },
        (_, i) => client.infer("dynamic", { x: Tensor.from(new Float32Array(round * 30_000 + i * 100).fill(1)) }),
      );
      for (const [i, { y }] of (await soon(Promise.all(requests))).entries()) {
        assert.deepEqual(y!.shape, [1, round * 30_000 + i * 100]);
        assert.equal(y!.as("int64").data.at(-1), y!.size === 0 ? undefined : BigInt(y!.size - 1));
      }
    }
  });

  it("more than the lane holds at once take turns, or say so", async () => {
    await using client = await worker.connect();
    const large = Tensor.from(new Float32Array(2_000_000).fill(1));
    const ends = await soon(
      Promise.allSettled(Array.from({ length: 60 }, () => client.infer("dynamic", { x: large }))),
    );
    for (const end of ends) {
      if (end.status === "rejected") assert.equal(end.reason.code, "MEMORY_BUDGET", end.reason);
      else assert.deepEqual(end.value.y!.shape, [1, 2_000_000]);
    }
    assert.deepEqual((await soon(client.infer("dynamic", { x: large }))).y!.shape, [1, 2_000_000]);
    const { c } = await soon(client.infer("add", feeds(3)));
    assert.deepEqual([...c!.data], [6, 3]);
  });
});
