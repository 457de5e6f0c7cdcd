import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { Tensor } from "../../mod.ts";
import { ModelClient } from "../../src/client/mod.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { failure, floats } from "../support/sessions.ts";
import { type Came, OipServer, reply } from "./oip_server.ts";
import { soon, until } from "./support.ts";

const sum = [4, 6], reason = new Error("changed my mind");

describe("tensors in named shared memory, over HTTP", () => {
  let server: OipServer, client: ModelClient, allocator: SharedMemoryAllocator, a: Tensor, b: Tensor;
  beforeEach(async () => {
    server = await OipServer.listen();
    server.extensions = ["binary_tensor_data", "system_shared_memory"];
    client = await ModelClient.connect(server.endpoint);
    allocator = new SharedMemoryAllocator({ backend: "named" });
    [a, b] = [allocator.share(floats([1, 2])), allocator.share(floats([3, 4]))];
  });
  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    allocator[Symbol.dispose]();
    SharedMemoryAllocator.default[Symbol.dispose]();
  });

  const asked = (what: string): Came[] => server.came.filter(({ path }) => path.endsWith(`/${what}`));
  const isAdded = async (feeds: Record<string, Tensor> = { a, b }): Promise<void> => {
    assert.deepEqual([...(await client.infer("add", feeds)).c!.data], sum);
  };
  /** Bytes that came behind the JSON, by inference. */
  const tails = (): number[] => server.inferred.map(({ tail }) => tail.length);

  it("are read where they lie, by a region that the server is told of once", async () => {
    for (let i = 0; i < 3; i++) await isAdded();
    await isAdded({ a, b: floats([3, 4]) });
    assert.deepEqual(tails(), [0, 0, 0, 8]);
    const [register, ...others] = asked("register");
    assert.deepEqual(others, []);
    const { key, offset, byte_size: size } = register!.json as Record<string, number>;
    assert.deepEqual([key, offset], [`/${a.ref.region}`, 0]);
    assert.ok(size! > a.ref.byteOffset + a.ref.byteLength);
    const [input] = server.inferred[0]!.json.inputs as { parameters: Record<string, unknown> }[];
    const [name] = server.regions.keys();
    assert.deepEqual(input!.parameters, {
      shared_memory_region: name,
      shared_memory_byte_size: 8,
      shared_memory_offset: a.ref.byteOffset,
    });
  });

  it("are written where they lie", async () => {
    const c = allocator.tensor("float32", [2]);
    const out = await client.infer("add", { a, b }, { outputs: { c } });
    assert.equal(out.c, c);
    assert.deepEqual([...c.data], sum);
    const short = allocator.tensor("float32", [1]);
    await assert.rejects(
      client.infer("FP32", { x: a }, { outputs: { y: short } }),
      failure("RangeError", "INVALID_SHAPE"),
    );
    using made = await client.infer("fixed", { x: a }, { outputStorage: "shared" });
    assert.deepEqual([made.y!.storage, ...made.y!.data], ["shared", 1, 2]);
    const shared = server.inferred.filter(({ json }) => JSON.stringify(json.outputs).includes("shared_memory_region"));
    assert.equal(shared.length, 3);
  });

  it("are let go of at the end, and so are regions that are gone", async () => {
    await isAdded();
    {
      using other = new SharedMemoryAllocator({ backend: "named" });
      await isAdded({ a: other.share(floats([1, 2])), b });
    }
    await isAdded({ a: allocator.share(floats([1, 2])), b });
    await until(() => server.regions.size === 1, "the first region's end");
    await client[Symbol.asyncDispose]();
    assert.deepEqual([server.regions.size, asked("unregister").length], [0, 2]);
  });

  it("are each client's own at the server, also of one process", async () => {
    await using other = await ModelClient.connect(server.endpoint);
    await isAdded();
    assert.deepEqual([...(await other.infer("add", { a, b })).c!.data], sum);
    assert.deepEqual([server.regions.size, ...tails()], [2, 0, 0]);
  });

  it("go as bytes where the server refuses them, from there on", async () => {
    for (const status of [400, 403, 404, 500, 501]) {
      await using refused = await ModelClient.connect(server.endpoint);
      server.others = (came, response) =>
        came.path.endsWith("/register") ? reply(response, status, { error: "no" }) : server.answer(came, response);
      server.came.length = 0;
      const c = allocator.tensor("float32", [2]);
      for (let i = 0; i < 2; i++) await refused.infer("add", { a, b }, { outputs: { c } });
      assert.deepEqual([...c.data, ...tails(), asked("register").length], [...sum, 16, 16, 1]);
    }
  });

  it("go as bytes where they are not to go otherwise, and where the server knows no other way", async () => {
    await using unwilling = await ModelClient.connect(server.endpoint, { sharedMemory: false });
    await unwilling.infer("add", { a, b });
    using memfd = new SharedMemoryAllocator({ backend: "memfd" });
    await isAdded({ a: memfd.share(floats([1, 2])), b: floats([3, 4]) });
    server.extensions = ["binary_tensor_data"];
    await using other = await ModelClient.connect(server.endpoint);
    await other.infer("add", { a, b });
    assert.deepEqual([...tails(), asked("register").length], [16, 16, 16, 0]);
  });

  it("go as bytes once where the server lost a region, which it is told of again", async () => {
    const heap = floats([3, 4]);
    await isAdded();
    server.regions.clear(); // as if it had been started anew
    const running = client.infer("add", { a, b: heap });
    heap.data.fill(-1);
    assert.deepEqual([...(await running).c!.data], sum);
    await isAdded();
    assert.deepEqual([...tails(), asked("register").length], [0, 8, 16, 0, 2]);
    server.regions.clear();
    server.others = (came, response) =>
      // as if there were many, of which others are told than are asked
      came.path.endsWith("/register") ? void response.end() : server.answer(came, response);
    for (let i = 0; i < 3; i++) await isAdded();
    assert.deepEqual(tails().slice(4), [0, 16, 0, 16, 16]);
  });

  it("are as wrong as others, which says nothing of their region", async () => {
    await isAdded();
    server.inferences = (_came, response) => reply(response, 400, { error: "never" });
    await assert.rejects(client.infer("add", { a, b }), failure("WorkerError", "WORKER_PROTOCOL", /never/));
    server.inferences = undefined;
    await isAdded();
    assert.deepEqual([tails().at(-1), asked("register").length], [0, 1]);
  });

  it("stay in use until the server has answered who gave it up", async () => {
    const responses: ServerResponse[] = [], c = allocator.tensor("float32", [2]);
    await isAdded();
    server.inferences = (_came, response) => void responses.push(response);
    const stop = new AbortController(), busy = failure("TypeError", "TENSOR_BUSY");
    const running = client.infer("add", { a, b }, { outputs: { c }, signal: stop.signal });
    running.catch(() => {});
    await until(() => responses.length === 1, "the request");
    stop.abort(reason);
    await assert.rejects(soon(running), reason);
    await assert.rejects(client.infer("add", { a, b }, { outputs: { c } }), busy);
    await client[Symbol.asyncDispose]();
    assert.throws(() => c.handOff(), busy);
    server.answer(server.inferred.at(-1)!, responses[0]!);
    const isFree = (): boolean => {
      try {
        return c.handOff() !== undefined;
      } catch {
        return false;
      }
    };
    await until(isFree, "the tensor");
    await until(() => server.open === 0, "the connections' end");
  });

  it("leave no file behind", async () => {
    const { region } = a.ref;
    await isAdded();
    allocator[Symbol.dispose]();
    assert.ok(!existsSync(`/dev/shm/${region}`));
  });
});
