import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Tensor } from "../../../mod.ts";
import { heapStorage, makeTensor } from "../../../src/tensor/internal.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { dynamicOutput, identity, state, strings } from "../../support/models.ts";
import { failure, floats, nativeZeros } from "../../support/sessions.ts";
import { type Failure, type ModelKind, ModelsUnderTest } from "./kind.ts";

const x = floats([1, 2]), feeds = { x, state: floats([3, 4]) };

/** Tensors that a model writes. */
export function givenOutputsOf(kind: ModelKind): void {
  describe("given tensors", () => {
    const models = new ModelsUnderTest(kind, {
      dynamic: dynamicOutput(),
      identity: identity(),
      large: identity("float32", [1 << 16]),
      state: state(),
      strings: strings(),
    });
    const refuses = (y: unknown, expected: Failure): Promise<void> =>
      models.refuses("identity", { x }, { outputs: { y } }, expected);

    it("are written in place, and stay their giver's", async () => {
      using allocator = new SharedMemoryAllocator();
      for (const y of [nativeZeros("float32", [2]), allocator.tensor("float32", [2])]) {
        const { data } = y;
        for await (const out of models.results("state", feeds, { outputs: { y } })) {
          assert.deepEqual([out.y, Object.keys(out)], [y, ["y"]]);
          assert.deepEqual([...data], [3, 8]);
          out[Symbol.dispose]();
          assert.ok(!y.disposed);
          y.data.fill(0);
        }
        y[Symbol.dispose]();
      }
    });

    it("are written in place in the heap, by a synchronous run", () => {
      for (const [name, length] of [["identity", 2], ["large", 1 << 16]] as const) {
        const array = new Float32Array(length), y = Tensor.from(array);
        const fed = Tensor.from(new Float32Array(length).fill(7));
        assert.equal(models.get(name).runSync({ x: fed }, { outputs: { y } }).y, y);
        assert.ok(array.every((value) => value === 7));
      }
    });

    it("must not lie in the heap for an asynchronous run", async () => {
      const running = models.get("identity").run({ x }, { outputs: { y: floats([0, 0]) } });
      await assert.rejects(running, failure("TypeError", "UNSUPPORTED"));
    });

    for (const storage of ["native", "shared"] as const) {
      const zeros = (allocator: SharedMemoryAllocator): Tensor<"float32"> =>
        storage === "native" ? nativeZeros("float32", [2]) : allocator.tensor("float32", [2]);

      it(`in ${storage} memory cannot be a feed of the same run`, async () => {
        using allocator = new SharedMemoryAllocator();
        using both = zeros(allocator);
        both.data.set([1, 2]);
        await models.refuses("identity", { x: both }, { outputs: { y: both } }, failure("TypeError", "TENSOR_BUSY"));
        assert.deepEqual([...both.data], [1, 2]);
      });

      it(`in ${storage} memory cannot be two outputs of one run`, async () => {
        using allocator = new SharedMemoryAllocator();
        using y = zeros(allocator);
        const outputs = { y, next_state: y };
        await models.refuses("state", feeds, { outputs }, failure("TypeError", "TENSOR_BUSY"));
        assert.deepEqual([...y.data], [0, 0]);
      });

      it(`in ${storage} memory of another shape than the run gives are an error, and the model goes on`, async () => {
        using allocator = new SharedMemoryAllocator();
        const fed = { x: floats([0, 1, 0, 2]) };
        using y = storage === "native" ? nativeZeros("int64", [1, 3]) : allocator.tensor("int64", [1, 3]);
        await models.refuses("dynamic", fed, { outputs: { y } }, { name: /^(OrtError|RangeError)$/ } as never);
        for await (const out of models.results("dynamic", fed)) assert.deepEqual(out.y!.shape, [1, 2]);
        y.data.fill(0n);
      });
    }

    it("cannot lie over a feed, or over another", async () => {
      using allocator = new SharedMemoryAllocator();
      using tensor = allocator.share(floats([1, 2, 3, 4]));
      const { ref } = tensor, part = { ...ref, byteLength: 8, shape: [2] };
      using start = Tensor.open(part);
      using middle = Tensor.open({ ...part, byteOffset: ref.byteOffset + 4 });
      const busy = failure("TypeError", "TENSOR_BUSY");
      await models.refuses("identity", { x: start }, { outputs: { y: middle } }, busy);
      await models.refuses("state", feeds, { outputs: { y: start, next_state: middle } }, busy);
      assert.deepEqual([...tensor.data], [1, 2, 3, 4]);
    });

    it("cannot be asked for twice", async () => {
      await models.refuses("state", feeds, { outputs: ["y", "y"] }, failure("TypeError", "INVALID_ARGUMENT"));
    });

    it("must fit", async () => {
      using float64 = nativeZeros("float64", [2]);
      using short = nativeZeros("float32", [1]);
      await refuses(float64, failure("TypeError", "INVALID_DTYPE"));
      await refuses(short, failure("RangeError", "INVALID_SHAPE"));
      await refuses(new Float32Array(2), failure("TypeError", "INVALID_ARGUMENT"));
      await refuses(null, failure("TypeError", "INVALID_ARGUMENT"));
    });

    it("must not be read-only", async () => {
      using allocator = new SharedMemoryAllocator();
      using tensor = allocator.share(x);
      using shared = Tensor.open(tensor.ref, { readOnly: true });
      const heap = makeTensor("float32", Object.freeze([2]), heapStorage(new Float32Array(2)), { readOnly: true });
      for (const y of [shared, heap]) await refuses(y, failure("TypeError", "READ_ONLY"));
      for await (const { y } of models.results("identity", { x: shared })) assert.deepEqual([...y!.data], [1, 2]);
    });

    it("must be row-major", async () => {
      using allocator = new SharedMemoryAllocator();
      using one = allocator.share(floats([7], []));
      using y = Tensor.open({ ...one.ref, shape: [2], strides: [0] }, { readOnly: true });
      await refuses(y, failure("TypeError", "INVALID_LAYOUT"));
    });

    it("must not be disposed or detached", async () => {
      using allocator = new SharedMemoryAllocator();
      for (const y of [nativeZeros("float32", [2]), allocator.tensor("float32", [2])]) {
        for await (const _ of models.results("identity", { x }, { outputs: { y } }));
        y[Symbol.dispose]();
        await refuses(y, failure("ReferenceError", "DISPOSED"));
      }
      const array = new Float32Array(2), detached = Tensor.from(array);
      structuredClone(array.buffer, { transfer: [array.buffer] });
      await refuses(detached, failure("TypeError", "TENSOR_DETACHED"));
    });

    it("cannot take strings", async () => {
      const text = Tensor.from(["a"], [1], "string"), twice = Tensor.zeros("string", [2]);
      await models.refuses("strings", { text }, { outputs: { twice } }, failure("TypeError", "UNSUPPORTED"));
    });

    it("must be asked for by known names, and some", async () => {
      await models.refuses("state", feeds, { output: ["y"] }, failure("TypeError", "INVALID_ARGUMENT"));
      await models.refuses("state", feeds, { outputStorage: "gpu" }, failure("TypeError", "INVALID_ARGUMENT"));
      await models.refuses("state", feeds, { outputs: ["z"] }, failure("TypeError", "UNKNOWN_OUTPUT", /y, next_state/));
      await models.refuses("state", feeds, { outputs: { z: x } }, failure("TypeError", "UNKNOWN_OUTPUT"));
      for (const outputs of [[], {}, null, "y", 3]) {
        await models.refuses("state", feeds, { outputs }, failure("TypeError", "INVALID_ARGUMENT"));
      }
    });
  });
}
