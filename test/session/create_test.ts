import assert from "node:assert/strict";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import process from "node:process";
import path from "node:path";
import { afterEach, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { ModelRegistry } from "../../mod.ts";
import { InferenceSession } from "../../src/session/inference_session.ts";
import { TemporaryFolder } from "../cli/temporary_folder.ts";
import { nothingLeft } from "../support/left.ts";
import { add, manyNodes, METADATA, metadata, state, withInitializerInput, writeWeights } from "../support/models.ts";
import { floats, open } from "../support/sessions.ts";

const feeds = { a: floats([1, 2]), b: floats([10, 20]) };
const sum = (session: InferenceSession): unknown => [...session.runSync(feeds).c!.data];

afterEach(nothingLeft);

describe("InferenceSession.create", () => {
  it("takes a path, relative or absolute, and a file URL", async () => {
    using folder = new TemporaryFolder();
    const file = folder.join("a model – ä.onnx");
    writeFileSync(file, add());
    for (const name of [file, path.relative(process.cwd(), file), pathToFileURL(file)]) {
      await using session = await InferenceSession.create(name);
      assert.deepEqual(sum(session), [11, 22]);
    }
  });

  it("takes bytes, a part of a larger buffer and a Buffer, and keeps none of them", async () => {
    const model = add(), padded = new Uint8Array(model.length + 20);
    padded.set(model, 7);
    for (const bytes of [model, padded.subarray(7, 7 + model.length)]) {
      await using session = await InferenceSession.create(bytes);
      bytes.fill(0);
      assert.deepEqual(sum(session), [11, 22]);
    }
  });

  it("takes bytes that are changed before it is done", async () => {
    const model = add(), creating = InferenceSession.create(model);
    model.fill(0xff);
    await using session = await creating;
    assert.deepEqual(sum(session), [11, 22]);
  });

  it("finds external data beside the model, also through a symlink", async () => {
    using folder = new TemporaryFolder();
    using elsewhere = new TemporaryFolder();
    const model = writeWeights({ path: folder.join("m.onnx"), byteLength: 1e5, layers: 2, external: "weights.bin" });
    const link = elsewhere.join("link.onnx");
    symlinkSync(model.path, link);
    for (const name of [model.path, link]) {
      await using session = await InferenceSession.create(name);
      const x = floats(new Array(model.inputWidth).fill(1), [1, model.inputWidth]);
      assert.ok(session.runSync({ x }).y!.as("float32").data.some((value) => value !== 0));
    }
  });

  it("says how far it is", async () => {
    const phases: string[] = [];
    await using session = await InferenceSession.create(manyNodes(500), {
      onProgress({ phase, totalBytes, elapsedMs }) {
        if (phases.at(-1) !== phase) phases.push(phase);
        assert.ok(elapsedMs >= 0 && totalBytes >= 0);
      },
    });
    assert.equal(session.outputs.length, 1);
    assert.deepEqual(phases, ["find", "read", "create", "ready"]);
  });

  it("takes every option", async () => {
    await using session = await InferenceSession.create(add({ shape: ["N"] }), {
      intraOpNumThreads: 1,
      interOpNumThreads: 1,
      executionMode: "parallel",
      graphOptimizationLevel: "basic",
      freeDimensionOverrides: { N: 2 },
      executionProviders: ["cpu", { name: "CPUExecutionProvider", options: {} }],
      enableCpuMemArena: false,
      enableProfiling: false,
      logSeverityLevel: 3,
      extra: { "session.disable_prepacking": "1" },
    });
    assert.deepEqual(session.inputs[0]!.shape, [2]);
    assert.deepEqual(sum(session), [11, 22]);
  });
});

describe("a session", () => {
  it("describes what goes in and out, with symbolic dimensions", async () => {
    using session = await open(state(["N", 2]));
    const value = (name: string): object => ({ name, kind: "tensor", dtype: "float32", shape: ["N", 2] });
    assert.deepEqual(session.inputs, [value("x"), value("state")]);
    assert.deepEqual(session.outputs, [value("y"), value("next_state")]);
    assert.ok(Object.isFrozen(session.inputs) && Object.isFrozen(session.inputs[0]!.shape));
  });

  it("does not count initializers among its inputs", async () => {
    using session = await open(withInitializerInput());
    assert.deepEqual(session.inputs.map(({ name }) => name), ["x"]);
  });

  it("has an id of its own, be it created or of a registry", async () => {
    await using registries = new AsyncDisposableStack();
    const [a, b] = [0, 1].map(() => registries.use(new ModelRegistry()));
    await using one = await open(add());
    await using other = await open(add());
    await using oneOfA = await a!.load(add());
    await using oneOfB = await b!.load(add());
    assert.equal(new Set([one, other, oneOfA, oneOfB].map(({ id }) => id)).size, 4);
  });

  it("knows its metadata", async () => {
    using session = await open(metadata());
    const { producer, domain, description, version, graphName, custom } = session.metadata;
    assert.deepEqual([producer, domain, description], [
      METADATA.producerName,
      METADATA.domain,
      METADATA.description,
    ]);
    assert.equal(version, BigInt(METADATA.modelVersion));
    assert.deepEqual({ ...custom }, { ...METADATA.custom });
    assert.equal(typeof graphName, "string");
    assert.equal(session.metadata, session.metadata);
  });

  it("knows what its weights take", async () => {
    using folder = new TemporaryFolder();
    const model = writeWeights({ path: folder.join("m.onnx"), byteLength: 4e6, layers: 2 });
    using session = await InferenceSession.create(model.path);
    const { weights, arena, source } = session.memory;
    assert.equal(source, "measured");
    assert.ok(weights >= model.byteLength * 0.9 && weights < model.byteLength * 3, `${weights}`);
    assert.ok(arena >= 0);
    assert.ok(readFileSync(model.path).length > model.byteLength);
  });
});
