import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ClientProcesses } from "../../src/cli/bench/client_processes.ts";
import * as models from "../support/models.ts";
import { TemporaryFolder } from "./temporary_folder.ts";

const never = new AbortController().signal;

function openClients(model: string, count: number): Promise<ClientProcesses> {
  return ClientProcesses.open({ model }, { storage: "native", sync: false }, { count, watched: true, signal: never });
}

function addIn(folder: TemporaryFolder): string {
  writeFileSync(folder.join("add.onnx"), models.add());
  return folder.join("add.onnx");
}

/** Resolves when the clients have sent something. */
async function busy(clients: ClientProcesses): Promise<void> {
  while (clients.seen.successes === 0) await sleep(10);
}

function isAlive(pid: number | undefined): boolean {
  try {
    return process.kill(pid!, 0);
  } catch {
    return false;
  }
}

describe("client processes", () => {
  it("send a load together, one after the other, and end when disposed", async () => {
    using folder = new TemporaryFolder();
    const clients = await openClients(addIn(folder), 3), { pids } = clients;
    {
      await using _ = clients;
      assert.equal(new Set(pids).size, 3);
      assert.ok(pids.every((pid) => pid !== process.pid && isAlive(pid)));
      for (const requests of [100, 2]) {
        const recording = await clients.send({ concurrency: 2, requests }, never);
        assert.deepEqual([recording.successes, recording.errors], [requests, 0]);
      }
      const open = { concurrency: 100, durationMs: 300, arrivals: { firstMs: 0, everyMs: 3 } };
      assert.equal((await clients.send(open, never)).successes, 100);
    }
    assert.deepEqual(pids.filter(isAlive), []);
  });

  it("stop when told to, with what was recorded by then", async () => {
    using folder = new TemporaryFolder();
    await using clients = await openClients(addIn(folder), 2);
    const abort = new AbortController(), sent = clients.send({ concurrency: 1 }, abort.signal);
    await busy(clients);
    const { successes } = clients.seen;
    abort.abort();
    assert.ok((await sent).successes >= successes);
  });

  it("fail all together when one is killed", async () => {
    using folder = new TemporaryFolder();
    const clients = await openClients(addIn(folder), 2), { pids } = clients;
    {
      await using _ = clients;
      const sent = clients.send({ concurrency: 1 }, never);
      const failed = assert.rejects(sent, /^Error: client 2 of 2 ended before its time: SIGKILL$/);
      await busy(clients);
      process.kill(pids[1]!, "SIGKILL");
      await failed;
      await assert.rejects(clients.send({ concurrency: 1 }, never), /client 2 of 2 ended/);
    }
    assert.deepEqual(pids.filter(isAlive), []);
  });

  it("say why a model cannot be opened", async () => {
    await assert.rejects(openClients("/no/such/model.onnx", 2), { code: "MODEL_NOT_FOUND", message: /\/no\/such/ });
  });
});
