import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { liveHandles } from "../../src/handle.ts";
import {
  heapStorage,
  makeTensor,
  pinRead,
  pinWrite,
  storageOf,
  unpinRead,
  unpinWrite,
} from "../../src/tensor/internal.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

const native = (): Tensor<"float32"> => Tensor.zeros("float32", [4], { storage: "native" });
const busy = { name: "TypeError", code: "TENSOR_BUSY" };
const disposed = { name: "ReferenceError", code: "DISPOSED" };

afterEach(() => assert.equal(liveHandles().tensor, undefined));

describe("pins", () => {
  it("let reads share, and no write beside them", () => {
    using tensor = native();
    pinRead(tensor);
    pinRead(tensor);
    assert.throws(() => pinWrite(tensor), busy);
    assert.equal(tensor.data.length, 4);
    unpinRead(tensor);
    assert.throws(() => pinWrite(tensor), busy);
    unpinRead(tensor);
    pinWrite(tensor);
    unpinWrite(tensor);
  });

  it("let nothing beside a write", () => {
    using tensor = native();
    pinWrite(tensor);
    assert.throws(() => pinRead(tensor), busy);
    assert.throws(() => pinWrite(tensor), busy);
    assert.throws(() => tensor.data, busy);
    assert.throws(() => tensor.view(0, 1), busy);
    assert.throws(() => tensor.contiguous(), busy);
    unpinWrite(tensor);
    assert.equal(tensor.data.length, 4);
  });

  it("refuse a write to a read-only tensor", () => {
    const tensor = makeTensor("int8", Object.freeze([1]), heapStorage(new Int8Array(1)), { readOnly: true });
    assert.ok(tensor.readOnly);
    assert.throws(() => pinWrite(tensor), { name: "TypeError", code: "READ_ONLY" });
    pinRead(tensor);
    unpinRead(tensor);
  });

  it("keep the memory of a disposed tensor until the last one goes", () => {
    const tensor = native(), { data } = tensor;
    pinRead(tensor);
    pinRead(tensor);
    tensor[Symbol.dispose]();
    assert.ok(tensor.disposed);
    assert.throws(() => tensor.data, disposed);
    assert.throws(() => pinRead(tensor), disposed);
    assert.throws(() => pinWrite(tensor), disposed);
    unpinRead(tensor);
    assert.equal(data.length, 4);
    assert.equal(liveHandles().tensor, 1);
    unpinRead(tensor);
    assert.equal(data.length, 0);
  });

  it("keep it under a write too", () => {
    const tensor = native();
    pinWrite(tensor);
    tensor[Symbol.dispose]();
    tensor[Symbol.dispose]();
    assert.equal(liveHandles().tensor, 1);
    unpinWrite(tensor);
  });

  it("work for heap tensors", () => {
    const tensor = Tensor.from(new Int8Array(2));
    pinWrite(tensor);
    assert.throws(() => tensor.data, busy);
    unpinWrite(tensor);
    assert.equal(tensor.data.length, 2);
  });
});

describe("an attachment", () => {
  for (const storage of ["heap", "native"] as const) {
    it(`goes before the memory of a ${storage} tensor, once`, () => {
      const tensor = Tensor.zeros("float32", [2], { storage }), seen: unknown[] = [];
      storageOf(tensor).attachment = { [Symbol.dispose]: () => void seen.push(liveHandles().tensor) };
      pinRead(tensor);
      tensor[Symbol.dispose]();
      assert.deepEqual(seen, []);
      unpinRead(tensor);
      tensor[Symbol.dispose]();
      assert.deepEqual(seen, [storage === "native" ? 1 : undefined]);
      assert.equal(storageOf(tensor).attachment, undefined);
    });
  }
});
