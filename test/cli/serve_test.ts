import assert from "node:assert/strict";
import { createRequire } from "node:module";
import process from "node:process";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ModelClient } from "../../src/client/mod.ts";
import { Tensor } from "../../mod.ts";
import * as models from "../support/models.ts";
import { ServingFolder } from "./serving.ts";

const SILERO = createRequire(import.meta.url).resolve("@ricky0123/vad-web/dist/silero_vad_v5.onnx");
const SIZE = 64;
/** One request at a time. */
const SLOW = ["--executors", "1", "--no-warmup"];

/** Feeds of the slow model, whose output is its input, rotated as often as it says. */
function slowFeeds(iterations: number): Record<string, Tensor> {
  const x = Tensor.from(Float32Array.from({ length: SIZE }, (_, i) => i));
  return { x, iterations: Tensor.from([iterations], [], "int64") };
}

/** Resolves when a worker has so many requests that wait. */
async function waiting(client: ModelClient, count: number): Promise<void> {
  for (;;) {
    const { models: [model] } = await client.status();
    if (model!.queued >= count) return;
    await sleep(5);
  }
}

describe("coload serve", () => {
  it("serves models by their names, and ends with 0 after SIGTERM, leaving nothing", async () => {
    using folder = new ServingFolder();
    const add = folder.model("add.onnx", models.add());
    await using serving = folder.serve(add, `vad=${SILERO}`, "--state", "vad:state=stateN", "--version-of", "vad=5");
    const ready = await serving.event("ready");
    assert.deepEqual([ready.models, ready.socket], [["add", "vad"], folder.socket]);
    {
      await using client = await ModelClient.connect(folder.socket);
      const feeds = { a: Tensor.from(Float32Array.of(1, 2)), b: Tensor.from(Float32Array.of(3, 4)) };
      using out = await client.infer("add", feeds);
      assert.deepEqual([...Object.values(out)[0]!.as("float32").data], [4, 6]);
      const speech = { input: Tensor.zeros("float32", [1, 512]), sr: Tensor.from([16000], [], "int64") };
      using first = await client.infer("vad", speech, { sequence: { id: 1, start: true }, version: "5" });
      assert.deepEqual(first.output!.shape, [1, 1]);
    }
    serving.kill("SIGTERM");
    assert.equal((await serving.event("draining")).signal, "SIGTERM");
    await serving.event("stopped");
    assert.deepEqual([await serving.ended(), folder.left], [0, []]);
  });

  for (const sharedMemory of [true, false]) {
    it(`loses no request that it has when it ends, ${sharedMemory ? "in lanes" : "as bytes"}`, async () => {
      using folder = new ServingFolder();
      await using serving = folder.serve(folder.model("slow.onnx", models.slow(SIZE)), ...SLOW);
      await serving.event("ready");
      await using client = await ModelClient.connect(folder.socket, { sharedMemory });
      const turns = [3001, 3002, 3003, 3004];
      const sent = turns.map((turn) => client.infer("slow", slowFeeds(turn)));
      await waiting(client, 2);
      serving.kill("SIGTERM");
      const rotated = (await Promise.all(sent)).map(({ y }) => y!.as("float32").data.indexOf(0));
      assert.deepEqual(rotated, turns.map((turn) => turn % SIZE));
      assert.equal(await serving.ended(), 0);
      assert.deepEqual(folder.left, []);
    });
  }

  it("ends at once after a second signal, leaving nothing", async () => {
    using folder = new ServingFolder();
    await using serving = folder.serve(folder.model("slow.onnx", models.slow(SIZE)), ...SLOW);
    await serving.event("ready");
    await using client = await ModelClient.connect(folder.socket);
    const sent = [1, 2].map(() => assert.rejects(client.infer("slow", slowFeeds(1e12)), { code: "WORKER_DIED" }));
    await waiting(client, 1);
    serving.kill("SIGINT");
    await serving.event("draining");
    serving.kill("SIGTERM");
    assert.equal(await serving.ended(), 128 + 15);
    await Promise.all(sent);
    assert.deepEqual(folder.left, []);
  });

  it("ends with 130 after SIGINT, while it loads too", async () => {
    using folder = new ServingFolder();
    const many = folder.model("many.onnx", models.manyNodes(20_000));
    await using serving = folder.serve(many);
    await serving.event("starting");
    serving.kill("SIGINT");
    assert.deepEqual([await serving.ended(), folder.left], [130, []]);
  });

  it("says who serves where another wants to, which ends with 1, or with 0 if that is fine", async () => {
    using folder = new ServingFolder();
    const add = folder.model("add.onnx", models.add());
    await using serving = folder.serve(add);
    const { pid } = await serving.event("ready");
    const { code, stdout, stderr } = await folder.coload("serve", add);
    assert.deepEqual([code, stdout], [1, ""]);
    const start = `coload: A worker is running at ${folder.socket} already: pid ${pid}, since `;
    assert.ok(stderr.startsWith(start) && stderr.endsWith("with add\n"), stderr);
    const absent = await folder.coload("serve", add, "--if-absent");
    assert.deepEqual([absent.code, absent.stderr.includes(`pid ${pid}`)], [0, true]);
    serving.kill("SIGTERM");
    assert.equal(await serving.ended(), 0);
  });

  it("waits for one that is ending at the same socket", async () => {
    using folder = new ServingFolder();
    await using serving = folder.serve(folder.model("slow.onnx", models.slow(SIZE)), ...SLOW);
    await serving.event("ready");
    await using client = await ModelClient.connect(folder.socket);
    const stop = new AbortController(), { signal } = stop;
    const sent = [1, 2].map(() => client.infer("slow", slowFeeds(1e12), { signal }).catch((error) => error.name));
    await waiting(client, 1);
    serving.kill("SIGTERM");
    await serving.event("draining");
    await using next = folder.serve(folder.model("add.onnx", models.add()));
    await next.event("waiting");
    stop.abort();
    assert.deepEqual(await Promise.all(sent), ["AbortError", "AbortError"]);
    assert.equal(await serving.ended(), 0);
    await next.event("ready");
    next.kill("SIGTERM");
    assert.deepEqual([await next.ended(), folder.left], [0, []]);
  });

  it("says on stderr for people what happens", async () => {
    using folder = new ServingFolder();
    const child = folder.start("serve", folder.model("add.onnx", models.add()));
    let stderr = "";
    child.stderr!.on("data", (chunk) => {
      const wasReady = stderr.includes(" ready ");
      stderr += chunk;
      if (!wasReady && stderr.includes(" ready ")) process.kill(child.pid!, "SIGTERM");
    });
    await new Promise((resolve) => child.once("close", resolve));
    const time = "\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z";
    assert.match(stderr, new RegExp(`^${time} starting: add \\(pid \\d+\\)$`, "m"));
    assert.match(stderr, new RegExp(`^${time} ready in [\\d.]+ (ms|s): add at ${folder.socket}$`, "m"));
    assert.match(stderr, new RegExp(`^${time} draining: SIGTERM$`, "m"));
  });
});
