import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { add, slow } from "../support/models.ts";
import { floats } from "../support/sessions.ts";
import { type Deed, runClient } from "./client_process.ts";
import { soon, until } from "./support.ts";
import { WorkerProcess } from "./worker_process.ts";

describe("a client's process", () => {
  let worker: WorkerProcess;
  before(async () => {
    worker = await WorkerProcess.start({ add: add(), slow: slow() });
  });
  after(() => worker[Symbol.asyncDispose]());

  const says: Partial<Record<Deed, unknown>> = {
    idle: "idle",
    disposed: "disposed",
    "in flight": [4, 6],
    "given up": "enough",
  };
  for (const sharedMemory of [true, false]) {
    for (const [what, expected] of Object.entries(says) as [Deed, unknown][]) {
      it(`ends by itself: ${what}${sharedMemory ? "" : ", as bytes"}`, async () => {
        const { code, stdout, stderr } = await runClient(what, worker.socket, { sharedMemory });
        assert.equal(code, 0, stderr);
        assert.deepEqual(JSON.parse(stdout), expected);
      });
    }
  }

  it("leaves the worker free and without it", async () => {
    await using client = await worker.connect();
    await until(async () => (await client.status()).clients.length === 1, "the others' end");
    const { c } = await soon(client.infer("add", { a: floats([1, 2]), b: floats([3, 4]) }));
    assert.deepEqual([...c!.data], [4, 6]);
  });
});
