import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { SharedMemoryAllocator, Tensor } from "../../../mod.ts";
import { ModelClient } from "../../../src/client/mod.ts";
import { DTYPES } from "../../../src/tensor/dtype.ts";
import { add, failingRun, identity, slow, strings } from "../../support/models.ts";
import { failure, floats, slowFeeds } from "../../support/sessions.ts";
import { nothingLeft } from "../../support/left.ts";
import { serveHttp } from "./support.ts";

const TOKEN = "s3cret";
const NUMERIC = DTYPES.filter((dtype) => dtype !== "string");
const feeds = { a: floats([1, 2]), b: floats([3, 4]) };

describe("a client over HTTP", () => {
  let served: Awaited<ReturnType<typeof serveHttp>>, client: ModelClient;
  before(async () => {
    const dtypes = NUMERIC.map((dtype) => [dtype, identity(dtype)] as const);
    const models = {
      add: add(),
      failing: failingRun(),
      slow: slow(64),
      strings: strings(),
      ...Object.fromEntries(dtypes),
    };
    served = await serveHttp(models, { token: TOKEN, allowClientSharedMemory: true });
    client = await ModelClient.connect(served.endpoint, { token: TOKEN });
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await served[Symbol.asyncDispose]();
    SharedMemoryAllocator.default[Symbol.dispose]();
    nothingLeft();
  });

  it("has a worker's models as any other client", async () => {
    await using model = await client.model("add", "1");
    assert.deepEqual(model.inputs, [
      { name: "a", kind: "tensor", dtype: "float32", shape: [2] },
      { name: "b", kind: "tensor", dtype: "float32", shape: [2] },
    ]);
    using result = await model.run(feeds);
    assert.deepEqual([...result.c!.data], [4, 6]);
    assert.throws(() => model.runSync(feeds), failure("TypeError", "UNSUPPORTED"));
    assert.deepEqual([await client.health(), (await client.status()).http], [true, served.endpoint]);
  });

  for (const dtype of NUMERIC) {
    it(`moves ${dtype} to the bit`, async () => {
      const x = Tensor.zeros(dtype, [2]), bytes = new Uint8Array((x.data as Uint8Array).buffer as ArrayBuffer);
      bytes.forEach((_, i) => bytes[i] = dtype === "bool" ? i % 2 : 0x81 + 7 * i);
      using result = await client.infer(dtype, { x });
      assert.deepEqual([result.y!.dtype, result.y!.data], [dtype, x.data]);
    });
  }

  it("moves texts", async () => {
    const text = Tensor.from(["", "ü\0", "日本"], [3], "string");
    using result = await client.infer("strings", { text });
    assert.deepEqual(result.twice!.data, [...text.data, ...text.data]);
  });

  it("throws what a client of the lane throws", async () => {
    await assert.rejects(client.infer("nothing", feeds), failure("WorkerError", "UNKNOWN_MODEL"));
    await assert.rejects(client.infer("add", feeds, { version: "7" }), failure("WorkerError", "UNKNOWN_MODEL"));
    await assert.rejects(client.infer("add", { a: feeds.a }), failure("TypeError", "MISSING_FEED"));
    await assert.rejects(
      client.infer("add", { ...feeds, b: floats([1, 2, 3]) }),
      failure("RangeError", "INVALID_SHAPE"),
    );
    await assert.rejects(client.infer("add", feeds, { outputs: ["z"] }), failure("TypeError", "UNKNOWN_OUTPUT"));
    await using lane = await ModelClient.connect(served.place.socket);
    const wrong = { a: floats([1, 2, 3]), b: floats([1, 2]) };
    const error = await lane.infer("failing", wrong).catch((error: Error & { code?: string }) => error) as Error;
    await assert.rejects(client.infer("failing", wrong), {
      name: error.name,
      code: (error as { code?: string }).code!,
    });
  });

  it("stops a run in the worker when it is aborted", async () => {
    const stop = new AbortController(), run = client.infer("slow", slowFeeds(10_000_000, 64), { signal: stop.signal });
    while (served.worker.status().state !== "busy") await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort();
    await assert.rejects(run, { name: "AbortError" });
    while (served.worker.status().state === "busy") await new Promise((resolve) => setTimeout(resolve, 5));
    using result = await client.infer("add", feeds);
    assert.deepEqual([...result.c!.data], [4, 6]);
  });

  it("names memory that both have instead of sending it", async () => {
    using allocator = new SharedMemoryAllocator({ backend: "named" });
    using a = allocator.share(feeds.a), b = allocator.share(feeds.b), c = allocator.tensor("float32", [2]);
    using _result = await client.infer("add", { a, b }, { outputs: { c } });
    assert.deepEqual([...c.data], [4, 6]);
    const { json } = await served.ask("/v2/systemsharedmemory/status", {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    assert.ok(json.length > 0);
  });

  it("is refused without the token", async () => {
    for (const options of [{}, { token: "another" }]) {
      await assert.rejects(
        ModelClient.connect(served.endpoint, options).then((client) => client.model("add")),
        failure("WorkerError", "WORKER_PROTOCOL", /token/),
      );
    }
  });
});
