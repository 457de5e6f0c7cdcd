import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { ModelClient } from "../../src/client/mod.ts";
import { add, slow } from "../support/models.ts";
import { collectUntil } from "../support/gc.ts";
import { left, nothingLeft } from "../support/left.ts";
import { failure, floats, slowFeeds } from "../support/sessions.ts";
import { LocalWorker, soon, until } from "./support.ts";
import { WorkerProcess } from "./worker_process.ts";

const FOREVER = 10_000_000;
const feeds = { a: floats([1, 2]), b: floats([3, 4]) };
const disposed = failure("ReferenceError", "DISPOSED"), invalid = failure("TypeError", "INVALID_ARGUMENT");

for (const sharedMemory of [true, false]) {
  describe(`a client${sharedMemory ? "" : " of bytes"}`, () => {
    let worker: WorkerProcess;
    before(async () => {
      worker = await WorkerProcess.start({ add: add(), slow: slow() });
    });
    after(() => worker[Symbol.asyncDispose]());

    it("hears that its worker is well, and what it does", async () => {
      await using client = await worker.connect({ sharedMemory, name: "tester" });
      assert.equal(await client.health(), true);
      await client.infer("add", feeds);
      await assert.rejects(client.infer("slow", { x: floats([1]) }), { code: "MISSING_FEED" });
      const status = await client.status();
      const { state, pid, socket, executors, version, runtime, startedAt, memory } = status;
      assert.deepEqual([pid, socket, executors, version], [worker.pid, worker.socket, 1, "0.1.0"]);
      assert.ok(["ready", "busy"].includes(state));
      assert.match(runtime, /^(deno|bun) \d/);
      assert.ok(Math.abs(Date.now() - startedAt) < 600_000);
      assert.ok(memory!.proportional > 1 << 20 && memory!.private > 1 << 20 && memory!.shared >= 0);
      const model = status.models.find(({ name }) => name === "add")!;
      assert.deepEqual([model.version, model.state, model.queued, model.failures], ["1", "ready", 0, 0]);
      assert.ok(model.requests >= 1 && model.runs >= 1 && model.meanRunMs >= 0 && model.latencyMs.p99 > 0);
      assert.ok(model.path.endsWith("/add.onnx") && model.loadedAt! >= startedAt);
      const [own] = status.clients.filter(({ name }) => name === "tester");
      assert.deepEqual([own!.pid, own!.sharesMemory, own!.queued], [process.pid, sharedMemory, 0]);
      assert.ok(status.clients.every(({ connectedAt }) => connectedAt >= startedAt));
    });

    it("knows models by name and version", async () => {
      await using client = await worker.connect({ sharedMemory });
      await using model = await client.model("add", "1");
      assert.deepEqual([model.name, model.version], ["add", "1"]);
      assert.deepEqual(model.outputs, [{ name: "c", kind: "tensor", dtype: "float32", shape: [2] }]);
      const unknown = failure("WorkerError", "UNKNOWN_MODEL");
      for (
        const [name, version] of [["nothing", undefined], ["add", "2"], ["__proto__", undefined], [
          "",
          undefined,
        ]] as const
      ) {
        await assert.rejects(client.model(name, version), unknown);
        await assert.rejects(client.infer(name, feeds, version === undefined ? {} : { version }), unknown);
      }
      for (const name of [undefined, 3, null]) {
        await assert.rejects(client.model(name as unknown as string), invalid);
        await assert.rejects(client.infer(name as unknown as string, feeds), invalid);
      }
      assert.deepEqual([...(await client.infer("add", feeds, { version: "1" })).c!.data], [4, 6]);
    });

    it("refuses options that are none", async () => {
      await using client = await worker.connect({ sharedMemory });
      const infer = (options: unknown): Promise<unknown> => client.infer("add", feeds, options as object);
      await assert.rejects(infer({ timeout: 3 }), invalid);
      await assert.rejects(infer({ priority: "urgent" }), invalid);
      for (const id of [0, -1, 1.5, "1"]) {
        await assert.rejects(infer({ sequence: { id } }), failure("RangeError", "OUT_OF_RANGE"));
      }
      await assert.rejects(infer({ sequence: { id: 1, start: true } }), failure("WorkerError", "UNSUPPORTED"));
    });

    it("that is disposed of runs nothing more", async () => {
      const client = await worker.connect({ sharedMemory }), model = await client.model("add");
      await client[Symbol.asyncDispose]();
      await client[Symbol.asyncDispose]();
      await assert.rejects(client.infer("add", feeds), disposed);
      await assert.rejects(model.run(feeds), disposed);
      assert.throws(() => model.runSync(feeds), disposed);
      await assert.rejects(client.model("add"), disposed);
      await assert.rejects(client.status(), disposed);
    });

    it("that is disposed of lets go of what is in flight, here and in the worker", async () => {
      await using observer = await worker.connect();
      const client = await worker.connect({ sharedMemory });
      const requests = Array.from({ length: 200 }, () => client.infer("slow", slowFeeds(FOREVER)));
      for (const request of requests) request.catch(() => {});
      await until(async () => (await observer.status()).state === "busy", "the run");
      await client[Symbol.asyncDispose]();
      for (const request of requests) await assert.rejects(soon(request), failure("WorkerError", "WORKER_UNAVAILABLE"));
      assert.deepEqual([...(await soon(observer.infer("add", feeds))).c!.data], [4, 6]);
      await until(async () => (await observer.status()).clients.length === 1, "the client's end");
    });

    it("whose model is disposed of runs others", async () => {
      await using client = await worker.connect({ sharedMemory });
      const model = await client.model("add"), other = await client.model("add"), running = model.run(feeds);
      await model[Symbol.asyncDispose]();
      assert.ok(model.disposed);
      assert.deepEqual([...(await running).c!.data], [4, 6]);
      await assert.rejects(model.run(feeds), disposed);
      assert.throws(() => model.runSync(feeds), disposed);
      assert.deepEqual([...(await other.run(feeds)).c!.data], [4, 6]);
    });
  });
}

describe("connecting", () => {
  it("wants a path, and options that there are", async () => {
    const nowhere = "/nowhere/worker.sock";
    for (const endpoint of ["", "unix:", "unix:a\0b", 3]) {
      await assert.rejects(ModelClient.connect(endpoint as string), invalid);
    }
    await assert.rejects(ModelClient.connect("ftp://localhost:1"), failure("NativeError", "UNSUPPORTED"));
    await assert.rejects(ModelClient.connect(`/tmp/${"x".repeat(200)}`), failure("SystemError", "SOCKET_PATH"));
    await assert.rejects(ModelClient.connect(nowhere), failure("WorkerError", "WORKER_UNAVAILABLE"));
    await assert.rejects(ModelClient.connect(`unix:${nowhere}`), failure("WorkerError", "WORKER_UNAVAILABLE"));
    await assert.rejects(ModelClient.connect(nowhere, { timeout: 3 } as object), invalid);
    await assert.rejects(ModelClient.connect(nowhere, null as unknown as object), invalid);
    for (const timeoutMs of [0, -1, NaN]) {
      await assert.rejects(ModelClient.connect(nowhere, { timeoutMs }), failure("RangeError", "OUT_OF_RANGE"));
    }
  });

  it("leaves nothing behind, wherever the worker is", async () => {
    await collectUntil(() => Object.keys(left()).length === 0); // what tests before have dropped
    {
      await using worker = await LocalWorker.serve({ add: add() });
      await using client = await ModelClient.connect(`unix://${worker.socket}`);
      await client.infer("add", feeds);
      assert.equal(worker.worker.status().clients.length, 1);
    }
    nothingLeft();
  });
});
