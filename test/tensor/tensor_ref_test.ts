import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { SharedMemoryAllocator } from "../../src/tensor/shared_memory_allocator.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { formatTensorRef, type TensorRef } from "../../src/tensor/tensor_ref.ts";
import { nothingLeft } from "../support/left.ts";
import { failure } from "../support/sessions.ts";

type Failure = ReturnType<typeof failure>;

const invalid = failure("TypeError", "INVALID_REFERENCE"), outOfRange = failure("RangeError", "OUT_OF_RANGE");
const badDType = failure("TypeError", "INVALID_DTYPE"), badLayout = failure("TypeError", "INVALID_LAYOUT");
const noShape = failure("TypeError", "INVALID_SHAPE"), badShape = failure("RangeError", "INVALID_SHAPE");

/** What JSON can hold and no primitive can be made of. */
const UNPRINTABLE = { toString: 1, valueOf: 1 };

/** Refuses a reference that differs from a good one in these fields, as an object and as JSON. */
function refusesFields(fields: object, expected: Failure, given: { inJson?: boolean } = {}): void {
  using allocator = new SharedMemoryAllocator();
  using tensor = allocator.tensor("float32", [4]);
  const bad = { ...tensor.ref, ...fields } as TensorRef;
  assert.throws(() => Tensor.open(bad), expected);
  if (given.inJson !== false) assert.throws(() => Tensor.open(JSON.stringify(bad)), expected);
  assert.equal(allocator.metrics().tensors, 1);
}

afterEach(nothingLeft);

describe("tensor.ref", () => {
  it("is plain JSON, whatever the tensor's size", () => {
    using allocator = new SharedMemoryAllocator();
    for (const shape of [[], [0, 3], [2, 3], [1 << 20]]) {
      using tensor = allocator.tensor("int16", shape);
      const { ref } = tensor;
      assert.deepEqual(JSON.parse(JSON.stringify(ref)), ref);
      assert.deepEqual(structuredClone(ref), ref);
      assert.deepEqual([ref.v, ref.dtype, ref.shape, ref.byteLength], [1, "int16", shape, tensor.byteLength]);
      assert.ok(JSON.stringify(ref).length < 300);
    }
  });

  it("is the caller's own: changing it changes no tensor", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.tensor("int8", [2, 3]);
    (tensor.ref.shape as number[])[0] = 99;
    assert.deepEqual([tensor.shape, tensor.ref.shape], [[2, 3], [2, 3]]);
  });

  it("is of shared tensors only", () => {
    using native = Tensor.zeros("float32", [2], { storage: "native" });
    assert.throws(() => native.ref, failure("TypeError", "NOT_SHARED", /native/));
    assert.throws(() => Tensor.from([1], [1], "int8").ref, failure("TypeError", "NOT_SHARED", /heap/));
    assert.throws(() => Tensor.from(["a"], [1], "string").ref, failure("TypeError", "NOT_SHARED"));
  });

  it("is gone with the tensor", () => {
    using allocator = new SharedMemoryAllocator();
    const tensor = allocator.tensor("float32", [4]);
    tensor[Symbol.dispose]();
    assert.throws(() => tensor.ref, failure("ReferenceError", "DISPOSED"));
  });
});

describe("formatTensorRef", () => {
  for (const backend of ["named", "memfd"] as const) {
    it(`makes one word that opens the same ${backend} tensor`, () => {
      using allocator = new SharedMemoryAllocator({ backend });
      for (const shape of [[], [0], [0, 3], [1], [2, 3], [1, 2, 3, 4]]) {
        using tensor = allocator.tensor("float32", shape);
        const word = formatTensorRef(tensor.ref);
        assert.match(word, /^[\w,-]+$/);
        using same = Tensor.open(word);
        assert.deepEqual(same.ref, tensor.ref);
        if (tensor.size > 0) tensor.data[tensor.size - 1] = 7;
        assert.deepEqual([...same.data], [...tensor.data]);
      }
    });
  }

  it("keeps strides", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.tensor("int8", [6]);
    const ref = { ...tensor.ref, shape: [2, 3], strides: [1, 2] };
    using open = Tensor.open(formatTensorRef(ref));
    assert.deepEqual([open.ref, open.strides], [ref, [1, 2]]);
    using scalar = Tensor.open(formatTensorRef({ ...tensor.ref, byteLength: 1, shape: [], strides: [] }));
    assert.deepEqual([scalar.shape, scalar.strides], [[], []]);
  });
});

describe("a malformed reference", () => {
  it("is refused whatever it is instead", () => {
    for (const given of [null, undefined, 3, true, 1n, Symbol("ref"), () => {}, [], {}, "", " ", "{", '{"v":1', "{}"]) {
      assert.throws(() => Tensor.open(given as TensorRef), invalid, String(given));
    }
  });

  it("is refused as a word with something missing, added or spoilt", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.tensor("float32", [2, 2]);
    const fields = formatTensorRef(tensor.ref).split(","), spoil = (at: number, text: string) => fields.with(at, text);
    const words = [
      ...[fields.slice(0, 7), [...fields, "1x1", "1"], spoil(0, "coload-tenser"), spoil(0, "")],
      ...["", "-1", "1.5", "1e3", "NaN", "0x10", " 1", "١"].flatMap((text) =>
        [1, 3, 4, 5].map((at) => spoil(at, text))
      ),
      ...["2x", "x2", "2xx2", "-2x2", "2 2", "2.0x2"].flatMap((text) => [spoil(7, text), [...fields, text]]),
    ];
    for (const word of words) assert.throws(() => Tensor.open(word.join(",")), invalid, word.join(","));
  });

  it("is refused without a version, or with another", () => {
    for (const v of [undefined, 0, 2, "1", null, true, [1], UNPRINTABLE]) refusesFields({ v }, invalid);
    for (const v of [1n, NaN, Symbol("v")]) refusesFields({ v }, invalid, { inJson: false });
  });

  it("is refused when its region is no region's name", () => {
    const names = ["", "x", "coload-", `coload-${"g".repeat(32)}`, `../coload-${"0".repeat(32)}`, "a/b", "a\0b", ".."];
    for (const region of [...names, "x".repeat(300), `coload-${"0".repeat(32)}\n`]) refusesFields({ region }, invalid);
    for (const region of [null, 3, {}, undefined, ["coload"], UNPRINTABLE]) refusesFields({ region }, invalid);
  });

  it("is stale when nobody has its region", () => {
    const stale = failure("ReferenceError", "STALE_REFERENCE"), zeros = "0".repeat(32);
    refusesFields({ region: `coload-${zeros}` }, stale);
  });

  for (const field of ["generation", "byteOffset", "byteLength"]) {
    it(`is refused when its ${field} counts nothing`, () => {
      for (const value of [-1, 0.5, 2 ** 53, 2 ** 64, 1e300]) refusesFields({ [field]: value }, outOfRange);
      for (const value of [NaN, Infinity, -Infinity]) refusesFields({ [field]: value }, outOfRange, { inJson: false });
      for (const value of [undefined, null, "8", [], {}]) refusesFields({ [field]: value }, invalid);
      refusesFields({ [field]: 64n }, invalid, { inJson: false });
    });
  }

  it("is refused when its generation is of a block beyond the table", () => {
    for (const block of [2 ** 17, 2 ** 20 - 1]) refusesFields({ generation: block * 2 ** 32 + 1 }, invalid);
    refusesFields({ generation: 2 ** 53 - 1 }, invalid);
  });

  it("is refused when its bytes are misaligned, or lie before the data or beyond the region", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.tensor("float32", [4]);
    for (const by of [1, 2, 3]) refusesFields({ byteOffset: tensor.ref.byteOffset + by }, outOfRange);
    for (const byteOffset of [0, 64, 4096, 8192, 2 ** 30, 2 ** 40, 2 ** 53 - 4]) {
      refusesFields({ byteOffset }, outOfRange);
    }
  });

  it("is refused when its bytes are another block's", () => {
    using allocator = new SharedMemoryAllocator();
    using one = allocator.tensor("float32", [4]);
    using other = allocator.tensor("float32", [4]);
    assert.throws(() => Tensor.open({ ...one.ref, byteOffset: other.ref.byteOffset }), outOfRange);
    assert.throws(() => Tensor.open({ ...one.ref, shape: [32], byteLength: 128 }), outOfRange);
    assert.throws(() => Tensor.open({ ...one.ref, byteOffset: one.ref.byteOffset + 60 }), outOfRange);
  });

  it("is refused when its byteLength is not its shape's", () => {
    for (const byteLength of [0, 4, 15, 17, 64]) refusesFields({ byteLength }, outOfRange);
    for (const shape of [[], [3], [5], [2, 3], [0]]) refusesFields({ shape }, outOfRange);
    refusesFields({ shape: [0], strides: [1] }, outOfRange);
    refusesFields({ dtype: "float64" }, outOfRange);
  });

  it("is refused for a dtype that there is not, or that no memory holds", () => {
    const names = ["", "float", "Float32", "string", "__proto__", "constructor", "toString", "complex64"];
    for (const dtype of [...names, null, undefined, 1, {}, ["float32"], UNPRINTABLE]) {
      refusesFields({ dtype }, badDType);
    }
  });

  it("is refused for a shape that is none", () => {
    for (const shape of [undefined, null, 4, "4", { 0: 4, length: 1 }, UNPRINTABLE]) refusesFields({ shape }, noShape);
    for (const shape of [[-4], [4.5], [null], ["4"], [[4]], [2 ** 53], [UNPRINTABLE]]) {
      refusesFields({ shape }, badShape);
    }
    refusesFields({ shape: [NaN] }, badShape, { inJson: false });
    refusesFields({ shape: new Array(1) }, badShape);
  });

  it("is refused for a shape whose elements or bytes nobody can count", () => {
    for (const shape of [[2 ** 32, 2 ** 32], [2 ** 27, 2 ** 27], [2 ** 51, 4], [2 ** 32, 2 ** 32, 1], [2 ** 51]]) {
      refusesFields({ shape }, badShape);
    }
    refusesFields({ shape: [2 ** 33, 2 ** 31, 4], strides: [0, 0, 1] }, badShape);
  });

  it("is refused for strides that are none", () => {
    for (const strides of [null, 1, "1", {}, [], [1, 1], [-1], [0.5], [null], ["1"], [2 ** 53], [UNPRINTABLE]]) {
      refusesFields({ strides }, badLayout);
    }
    refusesFields({ strides: [NaN] }, badLayout, { inJson: false });
    refusesFields({ strides: [1n] }, badLayout, { inJson: false });
  });

  it("is refused for strides that lead out of its bytes", () => {
    refusesFields({ strides: [2] }, outOfRange);
    refusesFields({ shape: [2, 2], strides: [3, 1] }, outOfRange);
    refusesFields({ shape: [3], strides: [2 ** 52] }, outOfRange);
    refusesFields({ shape: [2, 2], strides: [2 ** 53 - 1, 2 ** 53 - 1] }, outOfRange);
    refusesFields({ shape: [4], strides: [0], byteLength: 3 }, outOfRange);
    refusesFields({ shape: [], strides: [], byteLength: 0 }, outOfRange);
  });
});

describe("a reference that changes while it is read", () => {
  it("is read once, field by field", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.tensor("float32", [2, 2]);
    const ref = { ...tensor.ref, strides: [1, 2] }, reads: string[] = [];
    const changing = new Proxy(ref, {
      get(target, field) {
        const first = !reads.includes(String(field));
        reads.push(String(field));
        return first ? Reflect.get(target, field) : 2 ** 40;
      },
    });
    using open = Tensor.open(changing);
    assert.deepEqual([open.shape, open.strides, open.dtype], [[2, 2], [1, 2], "float32"]);
    assert.equal(new Set(reads).size, reads.length, reads.join());
  });

  it("gives the shape and strides that were checked", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.tensor("float32", [2, 2]);
    tensor.data.set([1, 2, 3, 4]);
    const shape = [2, 2];
    function changing(good: readonly number[]): number[] {
      const read = new Set<string>();
      return new Proxy([...good], {
        get(target, key) {
          const first = typeof key === "symbol" || key.length > 1 || !read.has(key);
          read.add(String(key));
          return first ? Reflect.get(target, key) : 1 << 20;
        },
      });
    }
    using open = Tensor.open({ ...tensor.ref, shape: changing(shape), strides: changing([1, 2]) });
    assert.deepEqual([open.shape, open.strides], [shape, [1, 2]]);
    assert.deepEqual([...open.contiguous().data], [1, 3, 2, 4]);
  });
});

/** The tensor, or the error's code. */
function openOrCode(ref: TensorRef | string): Tensor | string | undefined {
  try {
    return Tensor.open(ref);
  } catch (error) {
    return (error as { code?: string }).code;
  }
}

describe("a reference with a random fault", () => {
  const VALUES: readonly unknown[] = [
    ...[-1, 0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 63, 64, 65, 4096, 270336, 2 ** 31, 2 ** 32, 2 ** 32 + 1],
    ...[2 ** 53 - 1, 2 ** 53, 2 ** 64, 1e300, 0.5, null, "", "1", "float32", "int8", "float64", "string", {}, true],
    ...[[], [0], [1], [2], [4], [8], [16], [2, 2], [2, 4], [1, 1], [-1], [0.5], [2 ** 40], [2 ** 32, 2 ** 32], [null]],
  ];

  it("is an error with a code, or a tensor within the block", () => {
    using allocator = new SharedMemoryAllocator();
    using tensor = allocator.tensor("float32", [2, 2]);
    using neighbour = allocator.tensor("uint8", [4096]);
    neighbour.data.fill(0);
    const { ref } = tensor, fields = [...Object.keys(ref), "strides"];
    let opened = 0, seed = 1;
    const random = (below: number): number => (seed = (seed * 48271) % 0x7fffffff) % below;
    for (let round = 0; round < 2000; round++) {
      const bad = { ...ref, [fields[random(fields.length)]!]: VALUES[random(VALUES.length)] } as TensorRef;
      const found = openOrCode(round % 2 ? bad : JSON.stringify(bad));
      assert.ok(found !== undefined, JSON.stringify(bad));
      if (typeof found === "string") continue;
      using open = found;
      opened++;
      const end = open.ref.byteOffset + open.ref.byteLength;
      assert.ok(open.ref.byteOffset >= ref.byteOffset && end <= ref.byteOffset + 64, JSON.stringify(bad));
      new Uint8Array((open.contiguous().data as Uint8Array<ArrayBuffer>).buffer).fill(1);
    }
    assert.ok(opened > 0 && opened < 2000);
    assert.ok(neighbour.data.every((byte) => byte === 0));
    assert.equal(allocator.metrics().tensors, 2);
  });
});
