import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { Tensor } from "../../../mod.ts";
import { DTYPES, type NumericData, type NumericDType } from "../../../src/tensor/dtype.ts";
import { SharedMemoryAllocator } from "../../../src/tensor/shared_memory_allocator.ts";
import { identity, scalar, strings, stringsAndNumbers, zeroSize } from "../../support/models.ts";
import { floats, nativeZeros } from "../../support/sessions.ts";
import { type ModelKind, ModelsUnderTest } from "./kind.ts";

const NUMERIC = DTYPES.filter((dtype): dtype is NumericDType => dtype !== "string");
const LARGE_BYTES = 200_000;

function bytesOf({ data }: Tensor): Buffer {
  const { buffer, byteOffset, byteLength } = data as NumericData;
  return Buffer.from(buffer, byteOffset, byteLength);
}

/** Elements of every bit pattern that a byte can have, but 0 and 1 for booleans. */
function patterned<D extends NumericDType>(dtype: D, length: number): Tensor<D> {
  const tensor = Tensor.zeros(dtype, [length]);
  bytesOf(tensor).forEach((_, i, bytes) => bytes[i] = dtype === "bool" ? i % 2 : 37 * i + 11);
  return tensor;
}

/** Every kind of value goes in and comes out as it is. */
export function dtypesOf(kind: ModelKind): void {
  describe("dtypes", () => {
    const models = new ModelsUnderTest(kind, {
      ...Object.fromEntries(NUMERIC.flatMap((dtype) => [
        [`${dtype}-open`, identity(dtype, ["N"])],
        [`${dtype}-fixed`, identity(dtype, [12])],
      ])),
      "bool-pairs": identity("bool", ["N", 2]),
      mixed: stringsAndNumbers(),
      scalar: scalar(),
      string: identity("string", ["N"]),
      strings: strings(),
      "zero-size": zeroSize(),
    } as Record<string, Uint8Array>);

    /** Each way in and out. */
    async function goesThrough(name: string, x: Tensor<NumericDType>): Promise<void> {
      using allocator = new SharedMemoryAllocator();
      using nativeX = nativeZeros(x.dtype, x.shape);
      bytesOf(nativeX).set(bytesOf(x));
      using sharedX = allocator.share(x);
      const check = (y: Tensor): void => {
        assert.deepEqual([y.dtype, y.shape], [x.dtype, x.shape]);
        assert.ok(bytesOf(y).equals(bytesOf(x)));
      };
      for (const fed of [x, nativeX, sharedX]) {
        for (const outputStorage of ["heap", "native", "shared"] as const) {
          for await (const out of models.results(name, { x: fed }, { outputStorage })) {
            using result = out;
            assert.equal(result.y!.storage, outputStorage);
            check(result.y!);
          }
        }
      }
      using nativeY = nativeZeros(x.dtype, x.shape);
      using sharedY = allocator.tensor(x.dtype, x.shape);
      for (const y of [nativeY, sharedY]) {
        for await (const out of models.results(name, { x }, { outputs: { y } })) {
          assert.equal(out.y, y);
          check(y);
          bytesOf(y).fill(0);
        }
      }
      const y = Tensor.zeros(x.dtype, x.shape);
      models.get(name).runSync({ x }, { outputs: { y } });
      check(y);
    }

    for (const dtype of NUMERIC) {
      it(`${dtype} goes in and comes out bit by bit`, async () => {
        for (const declared of ["open", "fixed"]) await goesThrough(`${dtype}-${declared}`, patterned(dtype, 12));
        await goesThrough(`${dtype}-open`, patterned(dtype, LARGE_BYTES / Tensor.zeros(dtype, [1]).byteLength));
      });
    }

    it("int64 beyond 2^53 is exact", async () => {
      const x = Tensor.from(BigInt64Array.of(2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n));
      for await (const { y } of models.results("int64-open", { x })) assert.deepEqual([...y!.data], [...x.data]);
    });

    it("strings of every kind, empty ones too, and none", async () => {
      const texts = ["", "plain", "ä – 漢字 🎉", "\n\t", "x".repeat(10_000)];
      const x = Tensor.from(texts, [texts.length], "string");
      for await (const { y } of models.results("string", { x })) assert.deepEqual(y!.data, texts);
      const text = Tensor.from([], [0], "string");
      for await (const { twice } of models.results("strings", { text })) assert.deepEqual(twice!.data, []);
    });

    it("strings that grow from call to call", async () => {
      for (const length of [1, 100, 10_000, 300_000, 5]) {
        const text = Tensor.from(["ä".repeat(length), "b"], [2], "string");
        for await (const { twice } of models.results("strings", { text })) {
          assert.deepEqual(twice!.data, [...text.data, ...text.data]);
        }
      }
    });

    it("strings beside numbers, wherever those go", async () => {
      const feeds = { text: Tensor.from(["a", "b"], [2], "string"), x: floats([1, 2]) };
      for (const outputStorage of ["heap", "native", "shared"] as const) {
        for await (const out of models.results("mixed", feeds, { outputStorage })) {
          using result = out;
          assert.deepEqual([result.copy!.data, [...result.y!.data]], [["a", "b"], [2, 4]]);
          assert.deepEqual([result.copy!.storage, result.y!.storage], ["heap", outputStorage]);
        }
      }
    });

    it("scalars", async () => {
      using allocator = new SharedMemoryAllocator();
      using native = nativeZeros("float32", []);
      native.data[0] = 3;
      for (const x of [floats([3], []), native, allocator.share(floats([3], []))]) {
        for (const outputStorage of ["heap", "native", "shared"] as const) {
          for await (const out of models.results("scalar", { x }, { outputStorage })) {
            using result = out;
            assert.deepEqual([result.y!.shape, ...result.y!.data], [[], 6]);
          }
        }
        x[Symbol.dispose]();
      }
    });

    it("tensors without elements", async () => {
      using allocator = new SharedMemoryAllocator();
      using native = nativeZeros("float32", [0, 3]);
      using shared = allocator.tensor("float32", [0, 3]);
      for (const x of [floats([], [0, 3]), native, shared]) {
        for (const outputStorage of ["heap", "native", "shared"] as const) {
          for await (const out of models.results("zero-size", { x }, { outputStorage })) {
            using result = out;
            assert.deepEqual([result.y!.shape, result.y!.data.length], [[0, 3], 0]);
          }
        }
      }
      using y = nativeZeros("float32", [0, 3]);
      for await (const out of models.results("zero-size", { x: shared }, { outputs: { y } })) assert.equal(out.y, y);
      for await (const { y } of models.results("bool-pairs", { x: Tensor.zeros("bool", [0, 2]) })) {
        assert.deepEqual(y!.shape, [0, 2]);
      }
    });
  });
}
