import assert from "node:assert/strict";
import { renameSync } from "node:fs";
import process from "node:process";
import { describe, it } from "node:test";
import { Tensor } from "../../mod.ts";
import { Backoff } from "../../src/cli/serve/backoff.ts";
import { ModelClient } from "../../src/client/mod.ts";
import * as models from "../support/models.ts";
import { gone, ServingFolder } from "./serving.ts";

/** What a model of `manyNodes` adds. */
async function added(client: ModelClient): Promise<number> {
  using out = await client.infer("plus", { x: Tensor.from(Float32Array.of(0)) }, { idempotent: true });
  return out.y!.as("float32").data[0]!;
}

/** Puts another file in the place of one, in one step. */
function replace(folder: ServingFolder, bytes: Uint8Array): void {
  renameSync(folder.model("new.onnx", bytes), folder.join("plus.onnx"));
}

describe("coload serve", () => {
  it("starts a worker again that was killed, later each time, and a client that may retry goes on", async () => {
    using folder = new ServingFolder();
    await using serving = folder.serve(folder.model("plus.onnx", models.manyNodes(3)));
    let { pid } = await serving.event("ready");
    await using client = await ModelClient.connect(folder.socket, { retry: { attempts: 100, maxDelayMs: 100 } });
    assert.equal(await added(client), 3);
    for (const delayMs of [100, 200]) {
      process.kill(pid as number, "SIGKILL");
      const died = await serving.event("died");
      assert.deepEqual([died.pid, died.signal], [pid, "SIGKILL"]);
      assert.equal((await serving.event("restarting")).delayMs, delayMs);
      assert.equal(await added(client), 3);
      const before = pid;
      ({ pid } = await serving.event("ready"));
      assert.notEqual(pid, before);
    }
    serving.kill("SIGTERM");
    assert.deepEqual([await serving.ended(), folder.left], [0, []]);
  });

  it("ends with 1 when the worker dies, if it is not to be started again", async () => {
    using folder = new ServingFolder();
    await using serving = folder.serve(folder.model("plus.onnx", models.manyNodes(3)), "--no-restart");
    process.kill((await serving.event("ready")).pid as number, "SIGKILL");
    await serving.event("died");
    assert.deepEqual([await serving.ended(), folder.left], [1, []]);
  });

  it("ends when its worker is told to end", async () => {
    using folder = new ServingFolder();
    await using serving = folder.serve(folder.model("plus.onnx", models.manyNodes(3)));
    process.kill((await serving.event("ready")).pid as number, "SIGTERM");
    await serving.event("draining");
    assert.deepEqual([await serving.ended(), folder.left], [0, []]);
  });

  it("takes its worker with it when it is killed, and the next one finds the socket free", async () => {
    using folder = new ServingFolder();
    const plus = folder.model("plus.onnx", models.manyNodes(3));
    await using serving = folder.serve(plus);
    const { pid } = await serving.event("ready");
    serving.kill("SIGKILL");
    await gone(pid as number);
    await serving.ended();
    await using next = folder.serve(plus);
    await next.event("ready");
    next.kill("SIGTERM");
    assert.deepEqual([await next.ended(), folder.left], [0, []]);
  });

  it("loads a model anew whose file was changed, and keeps it when the new one is broken", async () => {
    using folder = new ServingFolder();
    await using serving = folder.serve(folder.model("plus.onnx", models.manyNodes(3)));
    await serving.event("ready");
    await using client = await ModelClient.connect(folder.socket);
    assert.equal(await added(client), 3);
    replace(folder, models.manyNodes(4));
    assert.equal((await serving.event("reloaded")).model, "plus"); // by itself
    assert.equal(await added(client), 4);
    replace(folder, new TextEncoder().encode("no model"));
    serving.kill("SIGHUP");
    const refused = await serving.event("refused");
    assert.equal(refused.model, "plus");
    assert.equal(await added(client), 4);
    replace(folder, models.manyNodes(5));
    serving.kill("SIGHUP");
    await serving.event("reloaded");
    assert.equal(await added(client), 5);
    serving.kill("SIGHUP");
    await serving.event("unchanged");
    serving.kill("SIGTERM");
    assert.equal(await serving.ended(), 0);
  });
});

describe("a back-off", () => {
  it("doubles up to 10 s, and begins anew after a worker that served for as long", () => {
    const backoff = new Backoff(), next = (readyMs?: number) => backoff.next(readyMs);
    const delays = Array.from({ length: 9 }, (_, i) => next(i % 2 === 0 ? undefined : 9999));
    assert.deepEqual(delays, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    assert.deepEqual([next(10_000), next(undefined)], [100, 200]);
  });
});
