import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { ModelRegistry } from "../../mod.ts";
import { nothingLeft } from "../support/left.ts";
import { manyNodes } from "../support/models.ts";
import { failure } from "../support/sessions.ts";
import { increment, ModelFolder, next } from "./fixtures.ts";

const disposed = failure("ReferenceError", "DISPOSED");

afterEach(nothingLeft);

describe("a registry that is disposed of", () => {
  it("gives who waits for a session that session, and lets it go when it is given back", async () => {
    using folder = new ModelFolder();
    const registry = new ModelRegistry(), evicted = next(registry, "evict");
    const loading = registry.load(folder.model("a.onnx", 3));
    await registry[Symbol.asyncDispose]();
    await assert.rejects(registry.load(folder.join("a.onnx")), disposed);
    const session = await loading;
    assert.equal(increment(session), 3);
    await session[Symbol.asyncDispose]();
    assert.equal((await evicted).reason, "unload");
  });

  it("gives who waits for an object that object, which can be cloned", async () => {
    const registry = new ModelRegistry(), { promise, resolve } = Promise.withResolvers<{ model: number }>();
    const evicted = next(registry, "evict"), loading = registry.getOrLoad("a", () => promise);
    await registry[Symbol.asyncDispose]();
    resolve({ model: 1 });
    const handle = await loading, clone = handle.clone();
    handle[Symbol.dispose]();
    assert.equal(clone.model, 1);
    clone[Symbol.dispose]();
    assert.equal((await evicted).reason, "unload");
  });

  it("begins no load of bytes that were being hashed", async () => {
    const registry = new ModelRegistry(), loading = registry.load(manyNodes(1));
    const disposing = registry[Symbol.asyncDispose]();
    await assert.rejects(loading, disposed);
    await disposing;
  });

  it("is disposed of though it was never used", async () => {
    const registry = new ModelRegistry();
    await registry[Symbol.asyncDispose]();
    assert.throws(() => registry.list(), disposed);
  });
});
