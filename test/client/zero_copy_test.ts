import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { statusOf } from "../../ffi/descriptors.ts";
import { Tensor } from "../../mod.ts";
import type { ModelClient } from "../../src/client/mod.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { identity } from "../support/models.ts";
import { encodeModel, floats as weights, node, value } from "../support/models/proto.ts";
import { slow } from "../support/models.ts";
import { nativeZeros, slowFeeds } from "../support/sessions.ts";
import { soon, until } from "./support.ts";
import { WorkerProcess } from "./worker_process.ts";

const FOREVER = 10_000_000, LARGE = 4 << 20, SMALL = 1 << 12;

/** Bytes that this process's lanes have taken of the machine. */
function laneBytes(): number {
  let sum = 0;
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).includes("coload-lane")) sum += statusOf(Number(fd)).allocatedBytes;
    } catch {
      continue; // closed meanwhile
    }
  }
  return sum;
}

/** `y = x`, read when a product of matrices of the size `square`, which takes a while, is there. */
const late = encodeModel({
  inputs: [value("x", "float32", [SMALL]), value("square", "int64", [2])],
  outputs: [value("y", "float32", [SMALL])],
  nodes: [
    node("Expand", ["one", "square"], ["ones"]),
    node("MatMul", ["ones", "ones"], ["product"]),
    node("ReduceMin", ["product"], ["least"]),
    node("Mul", ["least", "zero"], ["nothing"]),
    node("Add", ["x", "nothing"], ["y"]),
  ],
}, { initializers: [weights("one", [1, 1], [1]), weights("zero", [1], [0])] });

describe("tensors in shared memory", () => {
  let worker: WorkerProcess, client: ModelClient, allocator: SharedMemoryAllocator;
  before(async () => {
    worker = await WorkerProcess.start({
      late,
      large: identity("float32", ["N"]),
      fixed: identity("float32", [LARGE]),
      slow: slow(),
    });
  });
  after(() => worker[Symbol.asyncDispose]());
  beforeEach(async () => {
    client = await worker.connect();
    allocator = new SharedMemoryAllocator();
  });
  afterEach(async () => {
    await client[Symbol.asyncDispose]();
    allocator[Symbol.dispose]();
    SharedMemoryAllocator.default[Symbol.dispose]();
  });

  it("are read by the worker when it runs, and not when the request is sent", async () => {
    await using observer = await worker.connect();
    await using model = await client.model("large");
    const x = allocator.tensor("float32", [SMALL]), stop = new AbortController();
    using peer = Tensor.open(x.ref).as("float32");
    const holding = observer.infer("slow", slowFeeds(FOREVER), { signal: stop.signal });
    holding.catch(() => {});
    await until(async () => (await observer.status()).state === "busy", "the run that keeps the executor");
    const running = model.run({ x });
    await client.status(); // by then it was sent
    peer.data.fill(7);
    stop.abort();
    const { y } = await soon(running);
    assert.ok(y!.as("float32").data.every((found) => found === 7));
  });

  it("are read by C where they lie", async () => {
    await using observer = await worker.connect();
    const x = allocator.tensor("float32", [SMALL]), square = Tensor.from([2000n, 2000n], [2], "int64");
    using peer = Tensor.open(x.ref).as("float32");
    await client.infer("late", { x, square: Tensor.from([1n, 1n], [2], "int64") });
    const running = client.infer("late", { x, square });
    await until(async () => (await observer.status()).state === "busy", "the run");
    peer.data.fill(7);
    const { y } = await soon(running);
    assert.ok(y!.as("float32").data.every((found) => found === 7));
  });

  it("are written by the worker where they lie", async () => {
    const y = allocator.tensor("float32", [LARGE]);
    using watched = Tensor.open(y.ref).as("float32");
    const x = Tensor.from(new Float32Array(LARGE).fill(5));
    await client.infer("large", { x }, { outputs: { y } });
    assert.ok(watched.data.every((found) => found === 5));
  });

  it("take no room in the lane, and others do", async () => {
    const x = allocator.tensor("float32", [LARGE]), y = allocator.tensor("float32", [LARGE]), start = laneBytes();
    assert.ok(start > 0, "no lane was found");
    x.data.fill(3);
    await using model = await client.model("large");
    await using fixed = await client.model("fixed");
    for (let i = 0; i < 3; i++) {
      await model.run({ x }, { outputs: { y } });
      model.runSync({ x }, { outputs: { y } });
      using out = await fixed.run({ x }, { outputStorage: "shared" });
      assert.equal(out.y!.as("float32").data.at(-1), 3);
    }
    assert.equal(y.data.at(-1), 3);
    assert.ok(laneBytes() - start < 1 << 20, `the lane grew by ${laneBytes() - start} bytes`);
    const heap = Tensor.from(new Float32Array(LARGE).fill(3)), sent = model.run({ x: heap });
    await sent;
    assert.ok(laneBytes() - start >= x.byteLength, `the lane grew by ${laneBytes() - start} bytes only`);
  });

  it("give way to copies, given as native ones", async () => {
    using y = nativeZeros("float32", [LARGE]);
    await client.infer("large", { x: Tensor.from(new Float32Array(LARGE).fill(2)) }, { outputs: { y } });
    assert.ok(y.data.every((found) => found === 2));
  });

  it("of an allocator that is gone are refused, and those of a new one are not", async () => {
    const x = allocator.tensor("float32", [SMALL]);
    await client.infer("large", { x });
    allocator[Symbol.dispose]();
    await assert.rejects(client.infer("large", { x }), { name: "ReferenceError", code: "DISPOSED" });
    for (let i = 0; i < 20; i++) {
      using next = new SharedMemoryAllocator();
      const fed = next.tensor("float32", [SMALL]);
      fed.data.fill(i);
      assert.equal((await client.infer("large", { x: fed })).y!.data[0], i);
    }
  });

  it("of every backend are", async () => {
    for (const backend of ["named", "memfd"] as const) {
      using own = new SharedMemoryAllocator({ backend });
      const x = own.tensor("float32", [SMALL]), y = own.tensor("float32", [SMALL]);
      x.data.fill(9);
      await client.infer("large", { x }, { outputs: { y } });
      assert.ok(y.data.every((found) => found === 9));
    }
  });
});
