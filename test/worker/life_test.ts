import assert from "node:assert/strict";
import { copyFileSync, existsSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, it } from "node:test";
import { ModelClient } from "../../src/client/mod.ts";
import { models as registry } from "../../src/registry/model_registry.ts";
import { InferenceSession } from "../../src/session/inference_session.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { ModelWorker } from "../../src/worker/mod.ts";
import { nothingLeft } from "../support/left.ts";
import { accumulate, add, identity, slow, writeWeights } from "../support/models.ts";
import { failure, floats, slowFeeds } from "../support/sessions.ts";
import { modelOf, Place, serve, SILERO, until } from "./support.ts";

afterEach(nothingLeft);

const two = floats([1, 2]);

/** Puts another file in a model's place, in one step. */
function replace(place: Place, file: string, bytes: Uint8Array): void {
  renameSync(place.file("new.onnx", bytes), file);
}

describe("a worker's life", () => {
  it("loads and warms up before it is ready, and lets go of everything at its end", async () => {
    using place = new Place();
    const path = place.file("add.onnx", add());
    {
      await using served = await serve(place, { add: path, vad: SILERO });
      const { state, models, socket } = served.worker.status();
      assert.equal(state, "ready");
      assert.equal(socket, place.socket);
      assert.deepEqual(models.map(({ state }) => state), ["ready", "ready"]);
      assert.equal(await served.client.health(), true);
    }
    assert.equal(existsSync(place.socket), false);
    assert.equal(existsSync(`${place.socket}.lock`), false);
    assert.equal(registry.list().filter(({ referenceCount }) => referenceCount > 0).length, 0);
  });

  it("begins though a request that never ends was there before its models", async () => {
    using place = new Place();
    const { path } = writeWeights({ path: join(place.folder, "large.onnx"), byteLength: 1e8 }); // takes its time
    const models = { slow: place.file("slow.onnx", slow()), large: path };
    const serving = ModelWorker.serve({ models, socket: place.socket, executors: 1 }), stop = new AbortController();
    await using client = await ModelClient.connect(place.socket, {
      retry: { attempts: 1000, minDelayMs: 1, maxDelayMs: 1 },
    });
    const endless = client.infer("slow", slowFeeds(10_000_000), {
      signal: stop.signal,
    });
    await using worker = await serving;
    assert.equal(modelOf(worker, "large").state, "ready");
    await until(worker, ({ state }) => state === "busy");
    stop.abort();
    await assert.rejects(endless, { name: "AbortError" });
  });

  it("does not begin with a model that cannot be loaded, and leaves nothing", async () => {
    using place = new Place();
    const models = { bad: place.file("bad.onnx", new Uint8Array(100)) };
    await assert.rejects(ModelWorker.serve({ models, socket: place.socket }), failure("OrtError", "MODEL_INVALID"));
    assert.equal(existsSync(place.socket), false);
    await assert.rejects(
      ModelWorker.serve({ models: { gone: "no/such.onnx" }, socket: place.socket }),
      failure("OrtError", "MODEL_NOT_FOUND"),
    );
  });

  it("refuses options that are none", async () => {
    using place = new Place();
    const { socket } = place, path = SILERO;
    const refused = (options: unknown, name: string, code: string): Promise<void> =>
      assert.rejects(ModelWorker.serve(options as never), failure(name, code));
    await refused(undefined, "TypeError", "INVALID_ARGUMENT");
    await refused({ models: {}, socket }, "RangeError", "OUT_OF_RANGE");
    await refused({ models: { "../vad": path }, socket }, "TypeError", "INVALID_ARGUMENT");
    await refused({ models: { vad: { path, maxBatch: 8 } }, socket }, "TypeError", "INVALID_ARGUMENT");
    await refused({ models: { vad: { path, maxBatchSize: 0 } }, socket }, "RangeError", "OUT_OF_RANGE");
    await refused({ models: { vad: path }, socket, executors: 0 }, "RangeError", "OUT_OF_RANGE");
    await refused({ models: { vad: { path, state: { state: "nothing" } } }, socket }, "TypeError", "INVALID_ARGUMENT");
    await refused({ models: { vad: path }, socket, http: "x" }, "TypeError", "INVALID_ARGUMENT");
    assert.equal(existsSync(socket), false);
  });

  it("answers what it has when it is drained, and takes no more", async () => {
    using place = new Place();
    const path = place.file("slow.onnx", slow());
    await using served = await serve(place, { slow: path }, { executors: 1 });
    const { worker, client } = served, requests = Array.from({ length: 20 }, () => client.infer("slow", slowFeeds(20)));
    await until(worker, ({ models }) => models[0]!.queued > 0);
    const drained = worker.drain();
    assert.equal(worker.status().state, "draining");
    await assert.rejects(client.infer("slow", slowFeeds(1)), failure("WorkerError", "WORKER_UNAVAILABLE"));
    for (const result of await Promise.all(requests)) assert.equal(result.y!.size, 256);
    await drained;
    await assert.rejects(ModelClient.connect(place.socket), failure("WorkerError", "WORKER_UNAVAILABLE"));
  });

  it("loads a changed model while the old one serves, and keeps the old one where that fails", async () => {
    using place = new Place();
    const file = place.file("add.onnx", add());
    await using served = await serve(place, { add: file });
    const { worker, client } = served,
      add2 = async (): Promise<number> => (await client.infer("add", { a: two, b: two })).c!.as("float32").data[1]!;
    assert.equal(await add2(), 4);
    replace(place, file, new Uint8Array(50));
    await until(worker, ({ models }) => models[0]!.problem !== undefined);
    assert.equal(await add2(), 4);
    assert.equal(modelOf(worker, "add").state, "ready");
    replace(place, file, identity());
    await until(worker, ({ models }) => models[0]!.problem === undefined);
    assert.deepEqual([...(await client.infer("add", { x: two })).y!.as("float32").data], [1, 2]); // asked for anew
    await assert.rejects(client.infer("add", { a: two, b: two }), failure("TypeError", "UNKNOWN_FEED"));
  });

  it("lets go of a model that nobody asks for, and loads it again for who does", async () => {
    using place = new Place();
    const path = place.file("add.onnx", add());
    await using served = await serve(place, { add: { path, ttlMs: 100 } });
    const { worker, client } = served, model = await client.model("add");
    await until(worker, ({ models }) => models[0]!.state === "absent");
    assert.equal(modelOf(worker, "add").memory, undefined);
    assert.equal((await model.run({ a: two, b: two })).c!.as("float32").data[0], 2);
    await until(worker, ({ models }) => models[0]!.state === "ready");
    await until(worker, ({ models }) => models[0]!.state === "absent");
    renameSync(path, `${path}.gone`);
    await assert.rejects(model.run({ a: two, b: two }), failure("OrtError", "MODEL_NOT_FOUND"));
    renameSync(`${path}.gone`, path);
    assert.equal((await model.run({ a: two, b: two })).c!.as("float32").data[0], 2);
  });

  it("is one at a socket: the second one is told", async () => {
    using place = new Place();
    await using served = await serve(place, { vad: SILERO });
    const again = ModelWorker.serve({ models: { vad: SILERO }, socket: place.socket });
    await assert.rejects(again, failure("WorkerError", "WORKER_RUNNING"));
    assert.equal(await served.client.health(), true);
  });

  it("tells of other paths than sockets, and removes none", async () => {
    using place = new Place();
    writeFileSync(place.socket, "a file");
    await assert.rejects(serve(place, { vad: SILERO }), failure("SystemError", "SOCKET_PATH"));
    assert.equal(existsSync(place.socket), true);
  });
});

describe("a sequence", () => {
  const samples = (seed: number): Tensor =>
    Tensor.from(Float32Array.from({ length: 512 }, (_, i) => Math.sin(i * (0.05 + seed / 100))), [1, 512]);
  const sr = Tensor.from([16000], [], "int64");
  const models = { vad: { path: SILERO, state: { state: "stateN" } } };

  it("keeps its state in the worker, apart from those of others", async () => {
    using place = new Place();
    await using served = await serve(place, models);
    await using other = await ModelClient.connect(place.socket);
    await using alone = await InferenceSession.create(SILERO);
    const streams = [[served.client, 1], [served.client, 2], [other, 1]] as const;
    const states = streams.map(() => Tensor.zeros("float32", [2, 1, 128]) as Tensor);
    for (let step = 0; step < 10; step++) {
      await Promise.all(streams.map(async ([client, id], k) => {
        const input = samples(step * 3 + k), sequence = { id, start: step === 0, end: step === 9 };
        const wanted = alone.runSync({ input, state: states[k]!, sr });
        states[k] = wanted.stateN!;
        const found = await client.infer("vad", { input, sr }, { sequence });
        assert.deepEqual(found.output!.data, wanted.output!.data);
        assert.deepEqual(found.stateN!.data, wanted.stateN!.data);
      }));
    }
  });

  it("has to be started, ends, and is not fed its state", async () => {
    using place = new Place();
    await using served = await serve(place, models);
    const input = samples(1), state = Tensor.zeros("float32", [2, 1, 128]), { client } = served;
    const wrong = failure("TypeError", "UNKNOWN_SEQUENCE");
    await assert.rejects(client.infer("vad", { input, sr }, { sequence: { id: 5 } }), wrong);
    await client.infer("vad", { input, sr }, { sequence: { id: 5, start: true, end: true } });
    await assert.rejects(client.infer("vad", { input, sr }, { sequence: { id: 5 } }), wrong);
    const fed = client.infer("vad", { input, sr, state }, { sequence: { id: 5, start: true } });
    await assert.rejects(fed, failure("TypeError", "UNKNOWN_FEED"));
    const noId = client.infer("vad", { input, sr }, { sequence: { id: 0 } });
    await assert.rejects(noId, failure("RangeError", "OUT_OF_RANGE"));
    await client.infer("vad", { input, state, sr }); // alone, it brings its own
  });

  it("that was left makes room when there are too many, the oldest first", async () => {
    using place = new Place();
    const path = place.file("sum.onnx", accumulate());
    const models = { sum: { path, state: { SUM: "OUTPUT" } } };
    await using _worker = await ModelWorker.serve({ models, socket: place.socket, executors: 1 });
    await using client = await ModelClient.connect(place.socket);
    const feeds = { INPUT: Tensor.from([1], [1, 1], "int32") }, most = 4096;
    const ask = async (id: number, start = false): Promise<number> =>
      (await client.infer("sum", feeds, { sequence: { id, start } })).OUTPUT!.as("int32").data[0]!;
    for (let id = 1; id <= most; id += 64) {
      await Promise.all(Array.from({ length: 64 }, (_, i) => ask(id + i, true)));
    }
    assert.equal(await ask(1), 2); // from here on the second is the oldest
    await ask(most + 1, true);
    await assert.rejects(ask(2), failure("TypeError", "UNKNOWN_SEQUENCE"));
    assert.deepEqual([await ask(1), await ask(3), await ask(most + 1)], [3, 2, 2]);
  });

  it("is refused for a model of which the worker keeps no state", async () => {
    using place = new Place();
    copyFileSync(SILERO, place.file("vad.onnx", new Uint8Array(0)));
    await using served = await serve(place, { vad: `${place.folder}/vad.onnx` });
    const state = Tensor.zeros("float32", [2, 1, 128]);
    const request = served.client.infer("vad", { input: samples(1), sr, state }, { sequence: { id: 1, start: true } });
    await assert.rejects(request, failure("WorkerError", "UNSUPPORTED"));
  });
});
