import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { missing, PAIRINGS } from "../memory/peers/peer.ts";
import { add, dynamicOutput, strings } from "../support/models.ts";
import { runClient } from "./client_process.ts";
import { WorkerProcess } from "./worker_process.ts";

for (const [ofWorker, ofClient] of PAIRINGS) {
  describe(`a worker on ${ofWorker}`, { skip: missing(ofWorker, ofClient) }, () => {
    let worker: WorkerProcess;
    before(async () => {
      const models = { add: add(), dynamic: dynamicOutput(), strings: strings() };
      worker = await WorkerProcess.start(models, { runtime: ofWorker, executors: 2 });
    });
    after(() => worker[Symbol.asyncDispose]());

    for (const sharedMemory of [true, false]) {
      it(`serves a client on ${ofClient}${sharedMemory ? "" : ", as bytes"}`, async () => {
        const { code, stdout, stderr } = await runClient("pair", worker.socket, { runtime: ofClient, sharedMemory });
        assert.equal(code, 0, stderr);
        assert.deepEqual(JSON.parse(stdout), {
          results: [[4, 6], [4, 6], [4, 6], [4, 6]],
          large: [1, 50_000],
          texts: ["ä", "", "ä", ""],
          many: 1,
          streamed: 200,
          refused: "MISSING_FEED",
        });
      });
    }
  });
}
