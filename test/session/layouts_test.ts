import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import type { InferenceSession } from "../../src/session/inference_session.ts";
import type { Feeds, RunOptions } from "../../src/session/run_options.ts";
import { heapStorage, makeTensor } from "../../src/tensor/internal.ts";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import type { TensorRef } from "../../src/tensor/tensor_ref.ts";
import { nothingLeft } from "../support/left.ts";
import { add, identity } from "../support/models.ts";
import { encodeModel, node, value } from "../support/models/proto.ts";
import { failure, floats, open } from "../support/sessions.ts";

/** More than it takes for a run to be known. */
const OFTEN = 40;
const refused = failure("TypeError", "INVALID_LAYOUT", /strides \[1, 2\]/);

/** A tensor of 0, 1, ... 5, and the same memory in columns: 0, 2, 4, 1, 3, 5. */
function columns(allocator: SharedMemoryAllocator): { rows: Tensor; columns: Tensor; layout: TensorRef } {
  const rows = allocator.share(floats([0, 1, 2, 3, 4, 5], [2, 3]));
  const layout = { ...rows.ref, strides: [1, 2] };
  return { rows, columns: Tensor.open(layout), layout };
}

/** The same in the heap. */
function heapColumns(): Tensor<"float32"> {
  const storage = heapStorage(Float32Array.of(0, 1, 2, 3, 4, 5));
  return makeTensor("float32", Object.freeze([2, 3]), storage, { strides: Object.freeze([1, 2]) });
}

/** Every way of running refuses these tensors. */
async function refuses(session: InferenceSession, feeds: Feeds, options: RunOptions): Promise<void> {
  assert.throws(() => session.runSync(feeds, options), refused);
  await assert.rejects(session.run(feeds, options), refused);
  const { outputs } = options as { outputs?: Record<string, Tensor> };
  if (outputs) assert.throws(() => session.bind(feeds, outputs), refused);
}

afterEach(nothingLeft);

describe("a feed that is not row-major", () => {
  it("is refused by every way of running, and by bind", async () => {
    await using session = await open(identity("float32", [2, 3]));
    using allocator = new SharedMemoryAllocator();
    const { columns: x } = columns(allocator);
    using y = allocator.tensor("float32", [2, 3]);
    for (const options of [{}, { outputs: { y } }, { outputStorage: "native" }, { outputStorage: "shared" }] as const) {
      await refuses(session, { x }, options);
      await refuses(session, { x: heapColumns() }, options);
    }
    x[Symbol.dispose]();
  });

  it("is refused when it comes after many that were not", async () => {
    await using session = await open(identity("float32", [2, 3]));
    using allocator = new SharedMemoryAllocator();
    const { rows, columns: x } = columns(allocator);
    for (let run = 0; run < OFTEN; run++) {
      assert.deepEqual([...session.runSync({ x: rows }).y!.data], [0, 1, 2, 3, 4, 5]);
      if (run % 8 === 0) await refuses(session, { x }, {});
    }
    x[Symbol.dispose]();
  });

  it("is refused beside one that is", async () => {
    await using session = await open(add({ shape: [2, 3] }));
    using allocator = new SharedMemoryAllocator();
    const { rows, columns: b } = columns(allocator);
    await refuses(session, { a: rows, b }, {});
    await refuses(session, { a: b, b: rows }, {});
    rows[Symbol.dispose](); // which nothing uses any more
    b[Symbol.dispose]();
    assert.equal(allocator.metrics().tensors, 0);
  });

  it("is refused where its strides repeat one element", async () => {
    await using session = await open(identity("float32", [2, 3]));
    using allocator = new SharedMemoryAllocator();
    const one = allocator.share(floats([7], [])), layout = { ...one.ref, shape: [2, 3], strides: [0, 0] };
    using x = Tensor.open(layout, { readOnly: true });
    const expected = failure("TypeError", "INVALID_LAYOUT");
    assert.throws(() => session.runSync({ x }), expected);
    await assert.rejects(session.run({ x }), expected);
    assert.deepEqual([...session.runSync({ x: x.contiguous() }).y!.data], [7, 7, 7, 7, 7, 7]);
  });

  it("is fed as its contiguous copy, or as its shared one", async () => {
    await using session = await open(identity("float32", [2, 3]));
    using allocator = new SharedMemoryAllocator();
    const { columns: x } = columns(allocator);
    using copy = allocator.share(x);
    for (const fed of [x.contiguous(), copy]) {
      assert.deepEqual([...session.runSync({ x: fed }).y!.data], [0, 2, 4, 1, 3, 5]);
      assert.deepEqual([...(await session.run({ x: fed })).y!.data], [0, 2, 4, 1, 3, 5]);
    }
    x[Symbol.dispose]();
  });

  it("is taken where only dimensions of 1 or 0 make it look so", async () => {
    await using session = await open(identity("float32", [1, 3, 1]));
    await using none = await open(identity("float32", [2, 0]));
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.share(floats([1, 2, 3]));
    using x = Tensor.open({ ...tensor.ref, shape: [1, 3, 1], strides: [9, 1, 9] });
    using nothing = Tensor.open({ ...tensor.ref, byteLength: 0, shape: [2, 0], strides: [1, 9] });
    using y = allocator.tensor("float32", [1, 3, 1]);
    session.runSync({ x }, { outputs: { y } });
    assert.deepEqual([...y.data], [1, 2, 3]);
    using binding = session.bind({ x: y }, { y: x });
    y.data.fill(5);
    binding.runSync();
    assert.deepEqual([...tensor.data], [5, 5, 5]);
    assert.equal((await none.run({ x: nothing })).y!.size, 0);
  });
});

describe("a given output that is not row-major", () => {
  it("is refused by every way of running, and by bind", async () => {
    await using session = await open(identity("float32", [2, 3]));
    using allocator = new SharedMemoryAllocator();
    const { rows, columns: y } = columns(allocator);
    using x = allocator.share(floats([9, 9, 9, 9, 9, 9], [2, 3]));
    for (let run = 0; run < 3; run++) await refuses(session, { x }, { outputs: { y } });
    assert.throws(() => session.runSync({ x }, { outputs: { y: heapColumns() } }), refused);
    assert.deepEqual([...rows.data], [0, 1, 2, 3, 4, 5]);
    y[Symbol.dispose]();
  });

  it("is refused when many runs wrote into the same memory in rows", async () => {
    await using session = await open(identity("float32", [2, 3]));
    using allocator = new SharedMemoryAllocator();
    const { rows, columns: y } = columns(allocator), x = floats([9, 8, 7, 6, 5, 4], [2, 3]);
    for (let run = 0; run < OFTEN; run++) session.runSync({ x }, { outputs: { y: rows } });
    assert.throws(() => session.runSync({ x }, { outputs: { y } }), refused);
    assert.deepEqual([...rows.data], [9, 8, 7, 6, 5, 4]);
    assert.deepEqual([...y.contiguous().data], [9, 7, 5, 8, 6, 4]);
    y[Symbol.dispose]();
  });
});

describe("a heap tensor over an array of a shared tensor", () => {
  const SIDE = 200, shape = [SIDE, SIDE];
  const transpose = encodeModel({
    inputs: [value("x", "float32", shape)],
    outputs: [value("y", "float32", shape)],
    nodes: [node("Transpose", ["x"], ["y"])],
  });

  for (const readOnly of [false, true]) {
    it(`is not read while the run writes there${readOnly ? ", though the array is read-only" : ""}`, async () => {
      await using session = await open(transpose);
      using allocator = new SharedMemoryAllocator();
      using y = allocator.tensor("float32", shape);
      using opened = Tensor.open(y.ref, { readOnly }).as("float32");
      const x = Tensor.from(opened.data, shape), values = Float32Array.from({ length: SIDE * SIDE }, (_, i) => i);
      y.data.set(values);
      try {
        session.runSync({ x }, { outputs: { y } });
      } catch (error) {
        assert.equal((error as { code?: string }).code, "TENSOR_BUSY");
        assert.deepEqual(y.data, values);
        return;
      }
      assert.ok(y.data.every((found, i) => found === values[(i % SIDE) * SIDE + Math.floor(i / SIDE)]));
    });
  }
});
