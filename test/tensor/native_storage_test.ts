import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "node:test";
import { ffi, type Pointer } from "../../ffi/mod.ts";
import { Allocation } from "../../ffi/allocator.ts";
import { liveHandles } from "../../src/handle.ts";
import { type AddressedStorage, adoptedNativeStorage, makeTensor, storageOf } from "../../src/tensor/internal.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { collectUntil } from "../support/gc.ts";

const SMALL = 8, PAGES = 1 << 15;
const native = (length: number): Tensor<"float32"> => Tensor.zeros("float32", [length], { storage: "native" });
const again = (tensor: Tensor): Float32Array =>
  new Float32Array(ffi.view((storageOf(tensor) as AddressedStorage).pointer, tensor.byteLength));

describe("a native tensor", () => {
  afterEach(() => assert.equal(liveHandles().tensor, undefined));

  for (const length of [1, SMALL, PAGES]) {
    it(`of ${length} elements is zeroed, aligned, and one memory with what C sees`, () => {
      for (let round = 0; round < 3; round++) {
        using tensor = native(length);
        assert.ok(tensor.data.every((value) => value === 0));
        assert.equal(ffi.address((storageOf(tensor) as AddressedStorage).pointer) % 64n, 0n);
        tensor.data[length - 1] = 3;
        assert.equal(again(tensor)[length - 1], 3);
        again(tensor).fill(5);
        assert.equal(tensor.data[0], 5);
      }
    });
  }

  it("has one array, and a buffer that is exactly the tensor", () => {
    using tensor = native(SMALL);
    assert.equal(tensor.data, tensor.data);
    assert.equal(tensor.data.buffer.byteLength, tensor.byteLength);
    assert.equal(tensor.view(2, 3).buffer, tensor.data.buffer);
    assert.equal(`${tensor}`, "Tensor(float32, [8], native)");
  });

  it("empties every view of it when disposed, and no other's", () => {
    using other = native(SMALL);
    const tensor = native(SMALL), views = [tensor.data, tensor.view(1, 2), tensor.data.subarray(3)];
    const kept = other.data;
    tensor[Symbol.dispose]();
    tensor[Symbol.dispose]();
    assert.deepEqual(views.map((view) => view.length), [0, 0, 0]);
    assert.equal(views[0]![0], undefined);
    assert.equal(kept.length, SMALL);
    assert.throws(() => tensor.data, { name: "ReferenceError", code: "DISPOSED" });
  });

  it("may be empty", () => {
    using tensor = native(0);
    assert.equal(tensor.data.length, 0);
    assert.equal(tensor.view(0, 0).length, 0);
  });

  it("is counted while it lives", () => {
    using _a = native(1), _b = native(PAGES);
    assert.equal(liveHandles().tensor, 2);
  });
});

describe("a native tensor of more than 2^31 elements", () => {
  const size = 2 ** 31 + 16;

  it("is seen through windows, which are emptied when it is disposed", () => {
    const tensor = Tensor.zeros("float32", [2, size / 2], { storage: "native" });
    assert.equal(tensor.byteLength, size * 4);
    const window = tensor.view(size - 8, 8), overlapping = tensor.view(size - 4, 4);
    window[7] = 6;
    assert.equal(overlapping[3], 6);
    assert.equal(tensor.view(0, 1)[0], 0);
    tensor[Symbol.dispose]();
    assert.deepEqual([window.length, overlapping.length], [0, 0]);
  });

  it("is one array where the runtime has such, and else an error that names view", () => {
    using tensor = Tensor.zeros("float32", [size], { storage: "native" });
    tensor.view(size - 1, 1)[0] = 4;
    try {
      assert.equal(tensor.data[size - 1], 4);
      assert.equal(tensor.view(size - 1, 1).buffer, tensor.data.buffer);
    } catch (error) {
      assert.equal((error as { code?: string }).code, "OUT_OF_RANGE");
      assert.match((error as Error).message, /view\(start, length\)/);
    }
  });
});

describe("a native tensor whose buffer was transferred away", () => {
  for (const length of [SMALL, PAGES]) {
    it(`of ${length} elements leaves its memory alone`, () => {
      const tensor = native(length), before = liveHandles()["abandoned tensor"] ?? 0;
      tensor.data.fill(7);
      const { data } = tensor, moved = new Float32Array(structuredClone(data.buffer, { transfer: [data.buffer] }));
      assert.throws(() => tensor.data, { name: "TypeError", code: "TENSOR_DETACHED" });
      assert.equal(moved[0], 7);
      tensor[Symbol.dispose]();
      assert.ok(moved.every((value) => value === moved[0]));
      moved.fill(1);
      assert.equal(moved[length - 1], 1);
      assert.equal(liveHandles()["abandoned tensor"], before + 1);
      assert.equal(liveHandles().tensor, undefined);
    });
  }
});

describe("a native tensor that is disposed while the system uses its array", () => {
  it("keeps its memory until the array was collected", async () => {
    const path = join(tmpdir(), `coload-tensor-${process.pid}`), writes: Promise<void>[] = [];
    for (let i = 0; i < 8; i++) {
      const tensor = native(PAGES);
      writes.push(writeFile(path, tensor.data).catch(() => {})); // Deno's refuses what was detached meanwhile
      tensor[Symbol.dispose]();
    }
    await Promise.all(writes);
    writes.length = 0;
    assert.ok(await collectUntil(() => (liveHandles().tensor ?? 0) < 4));
  });
});

describe("the memory of a native tensor that was disposed", () => {
  const pointerOf = (tensor: Tensor): Pointer => (storageOf(tensor) as AddressedStorage).pointer;

  for (const length of [SMALL, PAGES]) {
    it(`of ${length} elements is nobody else's while the system may still use a view of it`, () => {
      const tensor = native(length), { data } = tensor, pointer = pointerOf(tensor);
      data.fill(7);
      tensor[Symbol.dispose]();
      const late = new Float32Array(ffi.view(pointer, length * 4)); // as a read that began before sees it
      using next = native(length);
      late.fill(9);
      assert.ok(next.data.every((value) => value === 0));
      assert.equal(data.length, 0);
    });
  }

  it("gives its addresses back when its views were collected", async () => {
    const GIB = 2 ** 30,
      status = (key: string): number =>
        Number(new RegExp(`${key}:\\s+(\\d+) kB`).exec(readFileSync("/proc/self/status", "utf8"))![1]) * 1024;
    const size = status("VmSize"), before = liveHandles().tensor ?? 0; // of those above, some may wait for the collector
    (function use(): void {
      for (let i = 0; i < 16; i++) {
        using tensor = Tensor.zeros("uint8", [GIB], { storage: "native" });
        tensor.data.fill(1, 0, 1 << 20);
      }
    })();
    assert.ok((liveHandles().tensor ?? 0) <= before);
    assert.ok(await collectUntil(() => status("VmSize") < size + 8 * GIB));
  });
});

describe("adopted memory", () => {
  it("is given back once", () => {
    const allocation = new Allocation(64), calls: string[] = [];
    const storage = adoptedNativeStorage(allocation.pointer, 64, () => {
      calls.push("release");
      allocation.free();
    });
    const before = liveHandles().tensor!, tensor = makeTensor("int32", Object.freeze([16]), storage), { data } = tensor;
    data[0] = 1;
    tensor[Symbol.dispose]();
    tensor[Symbol.dispose]();
    assert.deepEqual([calls, data.length], [["release"], 0]);
    assert.equal(liveHandles().tensor ?? 0, before - 1);
  });

  it("is abandoned where its buffer was transferred away", () => {
    const allocation = new Allocation(64), calls: string[] = [];
    const storage = adoptedNativeStorage(
      allocation.pointer,
      64,
      () => calls.push("release"),
      () => calls.push("abandon"),
    );
    const tensor = makeTensor("int32", Object.freeze([16]), storage);
    tensor.data.buffer.transfer(0);
    tensor[Symbol.dispose]();
    assert.deepEqual(calls, ["abandon"]);
    allocation.free();
  });
});
