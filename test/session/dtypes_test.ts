import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import type { InferenceSession } from "../../src/session/inference_session.ts";
import { DTYPES, type NumericData, type NumericDType } from "../../src/tensor/dtype.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { nothingLeft } from "../support/left.ts";
import { identity, scalar, strings, stringsAndNumbers, zeroSize } from "../support/models.ts";
import { floats, nativeZeros, open } from "../support/sessions.ts";

const NUMERIC = DTYPES.filter((dtype): dtype is NumericDType => dtype !== "string");

/** Twelve elements of every bit pattern that a byte can have, but 0 and 1 for booleans. */
function bytesOf(data: NumericData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function patterned(dtype: NumericDType, length: number): Tensor {
  const tensor = Tensor.zeros(dtype, [length]);
  bytesOf(tensor.data as NumericData).forEach((_, i, bytes) => bytes[i] = dtype === "bool" ? i % 2 : 37 * i + 11);
  return tensor;
}

const bits = (tensor: Tensor): number[] => [...bytesOf(tensor.data as NumericData)];

/** Each way in and out that a run can take. */
async function everyWay(session: InferenceSession, x: Tensor<NumericDType>): Promise<Tensor[]> {
  using nativeX = nativeZeros(x.dtype, x.shape);
  bytesOf(nativeX.data).set(bytesOf(x.data));
  const given = Tensor.zeros(x.dtype, x.shape);
  using nativeY = nativeZeros(x.dtype, x.shape);
  using adopted = session.runSync({ x: nativeX }, { outputStorage: "native" });
  using asyncAdopted = await session.run({ x }, { outputStorage: "native" });
  await session.run({ x: nativeX }, { outputs: { y: nativeY } });
  session.runSync({ x }, { outputs: { y: given } });
  const copy = (tensor: Tensor): Tensor => Tensor.from(tensor.data.slice(), tensor.shape, tensor.dtype);
  return [
    session.runSync({ x }).y!,
    session.runSync({ x: nativeX }).y!,
    (await session.run({ x })).y!,
    (await session.run({ x: nativeX })).y!,
    copy(adopted.y!),
    copy(asyncAdopted.y!),
    copy(nativeY),
    given,
  ];
}

afterEach(nothingLeft);

describe("every dtype", () => {
  for (const dtype of NUMERIC) {
    for (const shape of [[12], ["N"]]) {
      it(`${dtype} goes in and comes out bit by bit, declared as [${shape}]`, async () => {
        await using session = await open(identity(dtype, shape));
        const x = patterned(dtype, 12) as Tensor<NumericDType>;
        for (const y of await everyWay(session, x)) {
          assert.equal(y.dtype, dtype);
          assert.deepEqual(y.shape, [12]);
          assert.deepEqual(bits(y), bits(x));
        }
      });
    }

    it(`${dtype} in tensors of 200,000 bytes`, async () => {
      const x = patterned(dtype, 200_000 / Tensor.zeros(dtype, [1]).byteLength) as Tensor<NumericDType>;
      await using session = await open(identity(dtype, [x.size]));
      const expected = bits(x);
      for (const y of await everyWay(session, x)) assert.deepEqual(bits(y), expected);
    });
  }

  it("strings of every kind, empty ones too", async () => {
    await using session = await open(identity("string", ["N"]));
    const texts = ["", "plain", "ä – 漢字 🎉", "\n\t", "x".repeat(10_000)];
    const x = Tensor.from(texts, [texts.length], "string");
    assert.deepEqual(session.runSync({ x }).y!.data, texts);
    assert.deepEqual((await session.run({ x })).y!.data, texts);
  });

  it("no strings at all", async () => {
    await using session = await open(strings());
    const text = Tensor.from([], [0], "string");
    assert.deepEqual(session.runSync({ text }).twice!.data, []);
  });

  it("strings beside numbers, also where outputs lie in native memory", async () => {
    await using session = await open(stringsAndNumbers());
    const feeds = { text: Tensor.from(["a", "b"], [2], "string"), x: floats([1, 2]) };
    using out = await session.run(feeds, { outputStorage: "native" });
    assert.deepEqual(out.copy!.data, ["a", "b"]);
    assert.deepEqual([...out.y!.data], [2, 4]);
    assert.equal(out.y!.storage, "native");
  });

  it("booleans are 0 and 1", async () => {
    await using session = await open(identity("bool", [3]));
    assert.deepEqual([...session.runSync({ x: Tensor.from([true, false, true], [3], "bool") }).y!.data], [1, 0, 1]);
  });
});

describe("scalars", () => {
  it("go in and come out", async () => {
    await using session = await open(scalar());
    using x = nativeZeros("float32", []);
    x.data[0] = 3;
    for (const { y } of [session.runSync({ x }), await session.run({ x }), await session.run({ x: floats([3], []) })]) {
      assert.deepEqual([y!.shape, ...y!.data], [[], 6]);
    }
  });
});

describe("tensors without elements", () => {
  it("go in and come out", async () => {
    await using session = await open(zeroSize());
    using x = nativeZeros("float32", [0, 3]);
    using y = nativeZeros("float32", [0, 3]);
    using made = await session.run({ x }, { outputStorage: "native" });
    for (
      const out of [
        session.runSync({ x }).y!,
        session.runSync({ x: floats([], [0, 3]) }).y!,
        (await session.run({ x: floats([], [0, 3]) })).y!,
        (await session.run({ x }, { outputs: { y } })).y!,
        made.y!,
      ]
    ) assert.deepEqual([out.shape, out.data.length], [[0, 3], 0]);
  });

  for (const dtype of ["int64", "bool", "float16"] as const) {
    it(`of ${dtype} with a dimension that the run decides`, async () => {
      await using session = await open(identity(dtype, ["N", 2]));
      assert.deepEqual(session.runSync({ x: Tensor.zeros(dtype, [0, 2]) }).y!.shape, [0, 2]);
    });
  }
});
