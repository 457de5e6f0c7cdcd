import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { type ModelHandle, ModelRegistry } from "../../mod.ts";
import { collectUntil } from "../support/gc.ts";
import { nothingLeft } from "../support/left.ts";
import { manyNodes, slow } from "../support/models.ts";
import { failure, floats, slowFeeds } from "../support/sessions.ts";

const disposed = failure("ReferenceError", "DISPOSED");
const count = (registry: ModelRegistry): number => registry.list()[0]!.referenceCount;

/** What is printed as a warning meanwhile. */
async function warnings(work: () => Promise<void>): Promise<string[]> {
  const printed: string[] = [], { warn } = console;
  console.warn = (text: string) => void printed.push(text);
  try {
    await work();
  } finally {
    console.warn = warn;
  }
  return printed;
}

afterEach(nothingLeft);

describe("a session of a registry", () => {
  it("is disposed of twice and gives back one reference", async () => {
    await using registry = new ModelRegistry();
    using _other = await registry.load(manyNodes(1));
    const session = await registry.load(manyNodes(1));
    session[Symbol.dispose]();
    session[Symbol.dispose]();
    await session[Symbol.asyncDispose]();
    assert.equal(count(registry), 1);
  });

  it("cannot be used after dispose, while another reference can", async () => {
    await using registry = new ModelRegistry();
    using other = await registry.load(manyNodes(1));
    const session = await registry.load(manyNodes(1)), feeds = { x: floats([1]) };
    session[Symbol.dispose]();
    assert.ok(session.disposed && !other.disposed);
    assert.throws(() => session.runSync(feeds), disposed);
    assert.throws(() => session.metadata, disposed);
    await assert.rejects(session.run(feeds), disposed);
    assert.equal(other.runSync(feeds).y!.data[0], 2);
  });

  it("keeps its reference until its runs in flight are over", async () => {
    await using registry = new ModelRegistry({ ttlMs: 0 });
    const session = await registry.load(slow()), running = session.run(slowFeeds(30));
    session[Symbol.dispose]();
    assert.equal(count(registry), 1);
    assert.equal((await running).y!.data[30], 0);
    assert.deepEqual(registry.list(), []);
  });

  it("whose dispose is awaited has given its memory back", async () => {
    await using registry = new ModelRegistry({ ttlMs: 0 });
    const session = await registry.load(slow()), running = session.run(slowFeeds(30));
    await session[Symbol.asyncDispose]();
    assert.deepEqual(registry.list(), []);
    await running;
  });

  it("that is dropped without dispose is found, told of once and counted no more", async () => {
    await using registry = new ModelRegistry();
    await (async () => void await registry.load(manyNodes(1), { key: "dropped" }))();
    const printed = await warnings(async () => void await collectUntil(() => count(registry) === 0));
    assert.equal(count(registry), 0);
    assert.equal(printed.length, 1);
    assert.match(printed[0]!, /dropped.*without dispose/);
  });

  it("that was disposed of is not told of", async () => {
    await using registry = new ModelRegistry();
    let gone = false;
    const watch = new FinalizationRegistry(() => gone = true);
    await (async () => {
      const session = await registry.load(manyNodes(1));
      watch.register(session, 0);
      session[Symbol.dispose]();
    })();
    assert.deepEqual(await warnings(async () => void await collectUntil(() => gone)), []);
    assert.ok(gone);
  });
});

describe("a handle", () => {
  const object = { name: "tokenizer" };
  const open = (registry: ModelRegistry): Promise<ModelHandle<typeof object>> =>
    registry.getOrLoad("it", () => ({ model: object }));

  it("has the one object and its key", async () => {
    await using registry = new ModelRegistry();
    using one = await open(registry);
    using two = await open(registry);
    assert.equal(one.model, object);
    assert.equal(two.model, object);
    assert.equal(one.key, "it");
  });

  it("is cloned: each clone is a reference of its own", async () => {
    await using registry = new ModelRegistry();
    const one = await open(registry), clone = one.clone(), again = clone.clone();
    assert.equal(count(registry), 3);
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    assert.equal(clone.model, object);
    clone[Symbol.dispose]();
    assert.equal(count(registry), 1);
    again[Symbol.dispose]();
    assert.equal(count(registry), 0);
  });

  it("cannot be used after dispose", async () => {
    await using registry = new ModelRegistry();
    const handle = await open(registry);
    handle[Symbol.dispose]();
    assert.throws(() => handle.model, disposed);
    assert.throws(() => handle.clone(), disposed);
    assert.equal(handle.key, "it");
  });

  it("that is dropped without dispose is found, told of once and counted no more", async () => {
    await using registry = new ModelRegistry();
    await (async () => void (await open(registry)).clone()[Symbol.dispose]())();
    const printed = await warnings(async () => void await collectUntil(() => count(registry) === 0));
    assert.equal(count(registry), 0);
    assert.equal(printed.length, 1);
    assert.match(printed[0]!, /it was garbage-collected without dispose/);
  });

  it("keeps an unloaded object until its last dispose", async () => {
    await using registry = new ModelRegistry();
    const seen: string[] = [];
    const handle = await registry.getOrLoad("it", () => ({ model: "m", dispose: (model) => void seen.push(model) }));
    await registry.unload("it");
    assert.deepEqual([handle.model, seen.length], ["m", 0]);
    handle[Symbol.dispose]();
    await null; // no lock is held any more
    assert.deepEqual(seen, ["m"]);
  });
});
