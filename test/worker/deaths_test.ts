import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { Tensor } from "../../mod.ts";
import { ModelClient } from "../../src/client/mod.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { RegionNames } from "../support/region_names.ts";
import { failure } from "../support/sessions.ts";
import { descriptorsOf, Helper, lanesOf, until, WorkerProcess } from "./children/helper.ts";
import { writeModels } from "./children/models.ts";

const TIMEOUT = failure("WorkerError", "WORKER_TIMEOUT");
const x = Tensor.from(Float32Array.from({ length: 256 }, (_, i) => i));
const slowly = (iterations: number): { x: Tensor; iterations: Tensor } => ({
  x,
  iterations: Tensor.from([iterations], [], "int64"),
});
const feeds = (last: number): { a: Tensor; b: Tensor } => ({
  a: Tensor.from(Float32Array.of(1, 2, 3, last)),
  b: Tensor.from(Float32Array.of(10, 20, 30, 40)),
});

let folder: TemporaryFolder, models: ReturnType<typeof writeModels>, shm: RegionNames;
before(() => {
  folder = new TemporaryFolder();
  models = writeModels(folder, ["add", "slow", "sum"]);
  shm = new RegionNames();
});
after(async () => {
  folder[Symbol.dispose]();
  await shm.gone();
});

const start = (): Promise<WorkerProcess> => WorkerProcess.start({ models, executors: 2 });

/** Clients in processes of their own, which run requests until they are told to stop: see children/client.ts. */
async function startClients(socket: string, how: string, count: number): Promise<Helper[]> {
  const clients = Array.from({ length: count }, () => new Helper("./client.ts", [socket, how]));
  for (const client of clients) assert.equal(await client.next(), "BUSY");
  return clients;
}

describe("when the worker is killed", () => {
  it("all requests in flight fail, of all clients and ways to ask", { timeout: 60_000 }, async () => {
    await using worker = await start();
    await using both = await ModelClient.connect(worker.socket);
    await using bytes = await ModelClient.connect(worker.socket, { sharedMemory: false });
    const others = await startClients(worker.socket, "sync", 2);
    const runs = [both, bytes].flatMap((client) =>
      Array.from({ length: 50 }, () => client.infer("slow", slowly(2000)))
    );
    const settled = Promise.allSettled(runs);
    await until("one of them runs", async () => (await worker.ask<{ state: string }>("status")).state === "busy");
    await worker.kill();
    for (const result of await settled) {
      assert.equal(result.status, "rejected");
      assert.equal((result.reason as { code: string }).code, "WORKER_DIED");
    }
    for (const client of others) {
      assert.equal((await client.next<{ code: string }>()).code, "WORKER_DIED");
      assert.equal((await client.exit()).code, 0);
    }
    await assert.rejects(both.infer("add", feeds(1)), failure("WorkerError", "WORKER_UNAVAILABLE"));
    assert.equal(await both.health(), false);
  });

  it("requests in flight with large tensors leave the next worker's memory alone", { timeout: 60_000 }, async () => {
    await using worker = await start();
    await using client = await ModelClient.connect(worker.socket);
    const lost = Array.from({ length: 20 }, () => client.infer("slow", slowly(2000)).catch(() => {}));
    await until("one of them runs", async () => (await worker.ask<{ state: string }>("status")).state === "busy");
    await worker.kill();
    await Promise.all(lost);
    await using next = await WorkerProcess.start({ models, socket: worker.socket });
    const { c } = await client.infer("add", feeds(4));
    assert.deepEqual([...c!.as("float32").data], [11, 22, 33, 44]);
    assert.equal((await client.status()).pid, next.pid);
  });

  it("a client holds nothing of it any more", async () => {
    await using worker = await start();
    await using client = await ModelClient.connect(worker.socket);
    await client.infer("add", feeds(1));
    assert.equal(lanesOf(process.pid), 1);
    await worker.kill();
    await until("the lane is gone", () => lanesOf(process.pid) === 0);
    await until("its file too", () => !descriptorsOf(process.pid).some((name) => name.includes("coload-lane")));
  });
});

describe("when the worker stands still", () => {
  it("requests end with their time, and it goes on where it was", { timeout: 60_000 }, async () => {
    await using worker = await start();
    await using client = await ModelClient.connect(worker.socket);
    await using add = await client.model("add");
    worker.signal("SIGSTOP");
    assert.throws(() => add.runSync(feeds(1), { timeoutMs: 200 }), TIMEOUT);
    await assert.rejects(add.run(feeds(2), { timeoutMs: 200 }), TIMEOUT);
    await assert.rejects(ModelClient.connect(worker.socket, { timeoutMs: 300 }), TIMEOUT);
    worker.signal("SIGCONT");
    assert.deepEqual([...add.runSync(feeds(3)).c!.as("float32").data], [11, 22, 33, 43]);
  });

  it("questions to it end with the client's time", { timeout: 20_000 }, async () => {
    await using worker = await start();
    await using client = await ModelClient.connect(worker.socket, { timeoutMs: 300 });
    await using bytes = await ModelClient.connect(worker.socket, { timeoutMs: 300, sharedMemory: false });
    await bytes.infer("add", feeds(1));
    worker.signal("SIGSTOP");
    await assert.rejects(client.model("add"), TIMEOUT);
    await assert.rejects(client.infer("add", feeds(1)), TIMEOUT);
    await assert.rejects(bytes.infer("add", feeds(1)), TIMEOUT);
    await assert.rejects(client.status(), TIMEOUT);
    assert.equal(await client.health(), false);
    worker.signal("SIGCONT");
  });

  it("and is killed then, a synchronous request ends", { timeout: 60_000 }, async () => {
    await using worker = await start();
    const [client] = await startClients(worker.socket, "sync", 1);
    worker.signal("SIGSTOP");
    await worker.kill();
    assert.equal((await client!.next<{ code: string }>()).code, "WORKER_DIED");
    await client!.exit();
  });
});

describe("when clients are killed in the middle of requests", () => {
  it("the others get right answers, and nothing is left of those", { timeout: 90_000 }, async () => {
    await using worker = await start();
    await using watcher = await ModelClient.connect(worker.socket);
    const clients = await startClients(worker.socket, "async", 10);
    const doomed = clients.slice(0, 5), others = clients.slice(5);
    assert.equal((await watcher.status()).clients.length, 11);
    for (const client of doomed) client.signal("SIGKILL");
    await until("they are forgotten", async () => (await watcher.status()).clients.length === 6);
    await until("their lanes are gone", () => lanesOf(worker.pid) === 6);
    await until(
      "their files too",
      () => descriptorsOf(worker.pid).filter((name) => name.includes("coload-lane")).length === 6,
    );
    for (const client of others) {
      const { answers, wrong } = await client.ask<{ answers: number; wrong: number }>("stop");
      assert.ok(answers > 0);
      assert.equal(wrong, 0);
      assert.equal((await client.exit()).code, 0);
    }
    for (const client of doomed) await client.ended;
    await until("all are forgotten", async () => (await watcher.status()).clients.length === 1);
    assert.equal((await watcher.status()).models.reduce((sum, { queued }) => sum + queued, 0), 0);
  });

  it("their sequences are over", { timeout: 60_000 }, async () => {
    await using worker = await start();
    const [doomed] = await startClients(worker.socket, "sequence", 1);
    await doomed!.kill();
    await using client = await ModelClient.connect(worker.socket);
    const next = { x: Tensor.from(Float32Array.of(1, 1, 1, 1)) };
    await assert.rejects(client.infer("sum", next, { sequence: { id: 7 } }), failure("TypeError", "UNKNOWN_SEQUENCE"));
    const { next_state: state } = await client.infer("sum", next, { sequence: { id: 7, start: true } });
    assert.deepEqual([...state!.as("float32").data], [1, 1, 1, 1]);
  });

  it("a worker that they leave alone ends in peace", { timeout: 60_000 }, async () => {
    await using worker = await start();
    for (const client of await startClients(worker.socket, "async", 3)) await client.kill();
    assert.deepEqual(await worker.exit(), { code: 0, signal: null, stderr: "" });
  });
});
