import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Tensor } from "../../../mod.ts";
import { heapStorage, makeTensor } from "../../../src/tensor/internal.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { add, failingRun, identity, sequenceInput, strings, withInitializerInput } from "../../support/models.ts";
import { failure, floats, nativeFloats, nativeZeros } from "../../support/sessions.ts";
import { type ModelKind, ModelsUnderTest } from "./kind.ts";

const a = floats([1, 2]), b = floats([3, 4]);

/** 0 to 5 in columns, in the heap. */
function heapColumns(): Tensor<"float32"> {
  const storage = heapStorage(Float32Array.of(0, 1, 2, 3, 4, 5));
  return makeTensor("float32", Object.freeze([2, 3]), storage, { strides: Object.freeze([1, 2]) });
}

/** What a model takes, and what it refuses. */
export function feedsOf(kind: ModelKind): void {
  describe("feeds", () => {
    const models = new ModelsUnderTest(kind, {
      add: add(),
      failing: failingRun(),
      identity: identity(),
      open: add({ shape: [2, "N"] }),
      overridable: withInitializerInput(),
      rows: identity("float32", [2, 3]),
      sequence: sequenceInput(),
      strings: strings(),
    });

    it("are described", () => {
      const float32 = { kind: "tensor", dtype: "float32" } as const;
      assert.deepEqual(models.get("open").inputs, [
        { name: "a", ...float32, shape: [2, "N"] },
        { name: "b", ...float32, shape: [2, "N"] },
      ]);
      assert.deepEqual(models.get("strings").outputs, [{
        name: "twice",
        kind: "tensor",
        dtype: "string",
        shape: ["M"],
      }]);
    });

    it("are refused when one is missing", async () => {
      const missing = failure("TypeError", "MISSING_FEED", /"b".*a \(float32\), b \(float32\)/);
      await models.refuses("add", { a }, {}, missing);
      await models.refuses("add", { a, b: undefined }, {}, missing);
      await models.refuses("add", {}, {}, failure("TypeError", "MISSING_FEED"));
    });

    it("are refused when one is unknown", async () => {
      const unknown = failure("TypeError", "UNKNOWN_FEED", /"c".*a \(float32\), b \(float32\)/);
      await models.refuses("add", { a, b, c: b }, {}, unknown);
    });

    it("are refused when they are no object, or one is no tensor", async () => {
      const invalid = failure("TypeError", "INVALID_ARGUMENT");
      for (const feeds of [undefined, null, 7, "a"]) await models.refuses("add", feeds, {}, invalid);
      for (const found of [new Float32Array(2), [1, 2], 1, null, { data: new Float32Array(2), dims: [2] }]) {
        await models.refuses("add", { a, b: found }, {}, invalid);
      }
    });

    it("are refused when one has another dtype", async () => {
      const wrong = failure("TypeError", "INVALID_DTYPE", /"b": float32 wanted, float64 found/);
      await models.refuses("add", { a, b: Tensor.from(new Float64Array(2)) }, {}, wrong);
      await models.refuses("strings", { text: a }, {}, failure("TypeError", "INVALID_DTYPE"));
    });

    it("may be strings that hold what would end them in C", async () => {
      const text = Tensor.from(["\0", "b\0ü", "", "d"], [4], "string");
      for await (using result of models.results("strings", { text })) {
        assert.deepEqual(result.twice!.data, [...text.data, ...text.data]);
      }
    });

    it("are refused when one has another rank or size", async () => {
      using native = nativeZeros("float32", [3, 1]);
      for (const wrong of [a, floats([1, 2], [1, 2, 1]), floats([1, 2, 3], [3, 1]), floats([1], []), native]) {
        await models.refuses("open", { a: wrong, b: wrong }, {}, failure("RangeError", "INVALID_SHAPE", /\[2, N\]/));
      }
    });

    it("are refused by C as by a session", async () => {
      const mismatched = { a: floats([1, 2, 3, 4], [2, 2]), b: floats([1, 2, 3, 4, 5, 6], [2, 3]) };
      await models.refuses("open", mismatched, {}, { name: "OrtError" });
      for (let i = 0; i < 3; i++) await models.refuses("failing", { x: a }, {}, failure("OrtError", "ORT_FAIL"));
      for await (const { y } of models.results("failing", { x: floats([1, 2, 3]) })) assert.equal(y!.size, 3);
    });

    it("are refused where the model wants what is no tensor", async () => {
      const index = Tensor.from([0], [], "int64"), expected = failure("TypeError", "NOT_A_TENSOR");
      await models.refuses("sequence", { items: a, index }, {}, expected);
    });

    it("are refused when one was detached or disposed, also after many that were not", async () => {
      const array = new Float32Array(2),
        detached = Tensor.from(array),
        disposed = [floats([1, 2]), nativeFloats([1, 2])];
      for await (const _ of models.results("add", { a: detached, b }));
      structuredClone(array.buffer, { transfer: [array.buffer] });
      await models.refuses("add", { a: detached, b }, {}, failure("TypeError", "TENSOR_DETACHED"));
      for (const tensor of disposed) {
        tensor[Symbol.dispose]();
        await models.refuses("add", { a, b: tensor }, {}, failure("ReferenceError", "DISPOSED"));
      }
    });

    it("are refused when one is not row-major, also after many that were", async () => {
      using allocator = new SharedMemoryAllocator();
      using rows = allocator.share(floats([0, 1, 2, 3, 4, 5], [2, 3]));
      using columns = Tensor.open({ ...rows.ref, strides: [1, 2] });
      for (const fed of [heapColumns(), columns]) {
        for await (const { y } of models.results("rows", { x: floats([5, 4, 3, 2, 1, 0], [2, 3]) })) {
          assert.equal(y!.data[0], 5);
        }
        for await (const { y } of models.results("rows", { x: rows })) assert.equal(y!.data[1], 1);
        await models.refuses("rows", { x: fed }, {}, failure("TypeError", "INVALID_LAYOUT", /strides \[1, 2\]/));
        for await (const { y } of models.results("rows", { x: fed.contiguous() })) {
          assert.deepEqual([...y!.data], [0, 2, 4, 1, 3, 5]);
        }
      }
    });

    it("may replace an initializer, or leave it", async () => {
      using native = nativeFloats([4, 5]);
      using allocator = new SharedMemoryAllocator();
      using shared = allocator.share(floats([6, 7]));
      const expected = [[undefined, [10, 200]], [b, [3, 8]], [native, [4, 10]], [shared, [6, 14]], [undefined, [
        10,
        200,
      ]]];
      for (const [scale, wanted] of expected as [Tensor | undefined, number[]][]) {
        for await (const { y } of models.results("overridable", { x: a, ...(scale && { scale }) })) {
          assert.deepEqual([...y!.data], wanted);
        }
      }
      await models.refuses("overridable", { x: a, scale: floats([1]) }, {}, failure("RangeError", "INVALID_SHAPE"));
      await models.refuses("overridable", { x: a, scale: 3 }, {}, failure("TypeError", "INVALID_ARGUMENT"));
      await models.refuses("overridable", { x: a, scales: a }, {}, failure("TypeError", "UNKNOWN_FEED"));
    });

    it("may be one tensor twice, and the same in many runs at once", async () => {
      using allocator = new SharedMemoryAllocator();
      for (const x of [a, nativeFloats([1, 2]), allocator.share(a)]) {
        const runs = Array.from({ length: 20 }, () => models.get("add").run({ a: x, b: x }));
        for (const { c } of await Promise.all(runs)) assert.deepEqual([...c!.data], [2, 4]);
        if (x !== a) x[Symbol.dispose]();
      }
    });

    it("may be views of one array at odd places, from an object of any kind", async () => {
      const array = Float32Array.of(0, 1, 2, 3), x = Tensor.from(array.subarray(1, 3));
      const lazy = Object.assign(Object.create(null), {
        get x() {
          return x;
        },
      });
      for (const feeds of [{ x }, lazy]) {
        for await (const { y } of models.results("identity", feeds)) assert.deepEqual([...y!.data], [1, 2]);
      }
    });

    it("are read when the run begins", async () => {
      const x = floats([1, 2]), running = models.get("identity").run({ x });
      x.data.fill(-1);
      const { y } = await running;
      assert.deepEqual([...y!.data], [1, 2]);
    });

    it("may change from call to call", async () => {
      for (let i = 0; i < 50; i++) {
        const [one, two] = [floats([i, 2]), nativeFloats([i, i])];
        for await (const { c } of models.results("add", { a: one, b: two })) {
          assert.deepEqual([...c!.data], [2 * i, 2 + i]);
        }
        two[Symbol.dispose]();
      }
    });
  });
}
