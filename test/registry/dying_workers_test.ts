import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { afterEach, describe, it } from "node:test";
import { models } from "../../mod.ts";
import { nothingLeft } from "../support/left.ts";
import { slow } from "../support/models.ts";
import { slowFeeds } from "../support/sessions.ts";
import { increment, ModelFolder, next, until } from "./fixtures.ts";
import { RegistryWorker } from "./registry_worker.ts";

/** Nodes of a model whose session takes a second or so to create. */
const LONG = 8_000;
const uses = (): number[] => models.list().map(({ referenceCount }) => referenceCount);

afterEach(async () => {
  await until("every Worker's share is given back", async () => {
    await models.clear();
    await models.evictExpired();
    return models.list().length === 0;
  });
  nothingLeft();
});

describe("a Worker that ends without releasing", () => {
  for (const end of ["terminate", "close", "throw"]) {
    it(`by ${end} is cleaned up after`, async () => {
      using folder = new ModelFolder();
      using worker = new RegistryWorker();
      const file = folder.model("a.onnx", 2);
      using session = await models.load(file);
      await worker.ask("load", file);
      await worker.ask("load", file);
      assert.deepEqual(uses(), [3]);
      if (end === "terminate") worker.terminate();
      else worker.tell(end);
      await until("its references are gone", () => uses()[0] === 1);
      assert.equal(increment(session), 2);
    });
  }

  it("starts the time to live of what it alone used", async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    const file = folder.model("a.onnx"), evicted = next(models, "evict", file);
    await worker.ask("load", file, { ttlMs: 1 });
    assert.equal(models.list()[0]!.expiresAt, undefined);
    worker.terminate();
    assert.deepEqual(await evicted, { key: file, bytes: (await evicted).bytes, reason: "ttl" });
  });

  it("makes way in the budget for what it alone used", async () => {
    using worker = new RegistryWorker();
    await worker.ask("object", "large", 1e9);
    assert.equal(models.metrics().totalMemoryBytes, 1e9);
    worker.terminate();
    await until("its bytes are free", () => models.metrics().totalMemoryBytes === 0);
  });
});

describe("a load", () => {
  it("does not die with the Worker that asked first", { timeout: 60_000 }, async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    const file = folder.model("a.onnx", LONG), before = models.metrics();
    worker.tell("begin", file);
    await worker.reached("create");
    const loading = models.load(file);
    assert.deepEqual(uses(), [2]);
    worker.terminate();
    using session = await loading;
    assert.equal(increment(session), LONG);
    assert.deepEqual(uses(), [1]);
    assert.equal(models.metrics().loads - before.loads, 1);
    assert.equal(models.metrics().cacheMisses - before.cacheMisses, 1);
  });

  it("that its Worker had hardly begun is taken over by another one who waits", { timeout: 60_000 }, async () => {
    using folder = new ModelFolder();
    using dying = new RegistryWorker();
    using waiting = new RegistryWorker();
    const file = folder.model("a.onnx", 3000);
    await waiting.reached("up");
    dying.tell("begin", file);
    await dying.reached("find");
    const id = waiting.ask("load", file);
    dying.terminate();
    assert.match(await id as string, /^session-/);
    assert.equal(await waiting.ask("increment"), 3000);
    using session = models.get(file)!;
    assert.equal(session.id, await id);
  });

  it("that nobody waits for any more leaves nothing", { timeout: 60_000 }, async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    worker.tell("begin", folder.model("a.onnx", LONG));
    await worker.reached("create");
    worker.terminate();
    await until("the load is over and cleaned up after", () => models.list().length === 0);
  });

  it("goes on when a Worker that waits for it is terminated", { timeout: 60_000 }, async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    const file = folder.model("a.onnx", LONG);
    await worker.reached("up");
    const loading = models.load(file);
    worker.tell("begin", file);
    await until("the Worker waits", () => uses()[0] === 2);
    worker.terminate();
    using session = await loading;
    assert.equal(increment(session), LONG);
    await until("the Worker's share is gone", () => uses()[0] === 1);
  });
});

describe("a session that is shared", () => {
  it("is right after a Worker was terminated in the middle of its run", async () => {
    using folder = new ModelFolder();
    using worker = new RegistryWorker();
    writeFileSync(folder.join("slow.onnx"), slow());
    using session = await models.load(folder.join("slow.onnx"));
    await worker.ask("load", folder.join("slow.onnx"));
    await worker.ask("run");
    worker.terminate();
    assert.equal(session.runSync(slowFeeds(5)).y!.data[5], 0);
    assert.equal((await session.run(slowFeeds(7))).y!.data[7], 0);
    await until("the Worker's run is over", () => uses()[0] === 1);
  });
});
