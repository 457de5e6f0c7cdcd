import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { convertTensor } from "../../src/cli/run/convert.ts";
import { decodeJson, encodeJson, tensorOfJson } from "../../src/cli/run/json.ts";
import { decodeNpy, encodeNpy } from "../../src/cli/run/npy.ts";
import { toBFloat16 } from "../../src/tensor/bfloat16.ts";
import { type DType, DTYPES } from "../../src/tensor/dtype.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { failure } from "../support/sessions.ts";

/** A file as NumPy writes it. */
function npy(header: string, data: Uint8Array = new Uint8Array(), version = 1): Uint8Array<ArrayBuffer> {
  const start = version === 1 ? 10 : 12, text = header.padEnd(127 - start) + "\n", length = Buffer.alloc(start - 8);
  if (version === 1) length.writeUInt16LE(text.length);
  else length.writeUInt32LE(text.length);
  const magic = Buffer.from([0x93, ...Buffer.from("NUMPY"), version, 0]);
  return new Uint8Array(Buffer.concat([magic, length, Buffer.from(text), data]));
}
const header = (descr: string, shape: string, fortran = "False"): string =>
  `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': ${shape}, }`;
const bytes = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer as ArrayBuffer);

/** One of each dtype. */
const SAMPLES: Readonly<Record<Exclude<DType, "string">, readonly (number | bigint | boolean)[]>> = {
  float32: [0.5, NaN, -Infinity, 1e30],
  float64: [0.1, NaN, -0, 1e300],
  float16: [0.5, NaN, -Infinity, 65504],
  bfloat16: [0.5, NaN, Infinity, -2],
  int8: [-128, 127, 0, 1],
  int16: [-32768, 32767, 0, 1],
  int32: [-2147483648, 2147483647, 0, 1],
  int64: [-(2n ** 63n), 2n ** 63n - 1n, 0n, 2n ** 53n + 1n],
  uint8: [0, 255, 1, 2],
  uint16: [0, 65535, 1, 2],
  uint32: [0, 4294967295, 1, 2],
  uint64: [0n, 2n ** 64n - 1n, 1n, 2n],
  bool: [true, false, true, true],
};
const sample = (dtype: Exclude<DType, "string">): Tensor => {
  return dtype === "bfloat16"
    ? Tensor.from(toBFloat16(SAMPLES[dtype] as number[]), [2, 2], dtype)
    : Tensor.from(SAMPLES[dtype], [2, 2], dtype);
};
const numeric = DTYPES.filter((dtype) => dtype !== "string") as (keyof typeof SAMPLES)[];

describe("decodeNpy", () => {
  for (const dtype of numeric) {
    it(`reads what encodeNpy writes of ${dtype}`, () => {
      const tensor = sample(dtype), read = decodeNpy(encodeNpy(tensor, "y"), "y.npy");
      const wanted = dtype === "bfloat16" ? convertTensor(tensor, "float32", false, "") : tensor;
      assert.deepEqual([read.dtype, read.shape, read.data], [wanted.dtype, [2, 2], wanted.data]);
    });
  }

  it("reads scalars, tensors without elements, and later versions", () => {
    assert.deepEqual(decodeNpy(encodeNpy(Tensor.from([5], [], "int32"), "y"), "y.npy").shape, []);
    assert.deepEqual(decodeNpy(encodeNpy(Tensor.zeros("float32", [0, 3]), "y"), "y.npy").shape, [0, 3]);
    for (const version of [2, 3]) {
      const file = npy(header("<i2", "(2,)"), bytes(Int16Array.of(7, -7)), version);
      assert.deepEqual([...decodeNpy(file, "x.npy").as("int16").data], [7, -7]);
    }
  });

  it("puts Fortran's order right", () => {
    const file = npy(header("<f4", "(2, 3)", "True"), bytes(Float32Array.of(1, 4, 2, 5, 3, 6)));
    assert.deepEqual([...decodeNpy(file, "x.npy").as("float32").data], [1, 2, 3, 4, 5, 6]);
    const deep = npy(header("|u1", "(2, 2, 2)", "True"), Uint8Array.of(0, 4, 2, 6, 1, 5, 3, 7));
    assert.deepEqual([...decodeNpy(deep, "x.npy").as("uint8").data], [0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it("reads a file that lies in the middle of a buffer", () => {
    const file = npy(header("<f4", "(1,)"), bytes(Float32Array.of(2.5))), buffer = new Uint8Array(file.length + 3);
    buffer.set(file, 3);
    assert.equal(decodeNpy(buffer.subarray(3), "x.npy").data[0], 2.5);
  });

  const refused: Record<string, [file: Uint8Array<ArrayBuffer>, message: RegExp]> = {
    "an empty file": [new Uint8Array(), /x\.npy: it is no whole \.npy file/],
    "another format": [new Uint8Array(Buffer.from("PK\x03\x04, a zip archive")), /x\.npy: Not an \.npy file/],
    "a header that is cut short": [npy(header("<f4", "(2,)")).slice(0, 40), /it is no whole \.npy file/],
    "a header without a dtype": [npy("{}"), /Malformed \.npy header/],
    "elements that are cut short": [npy(header("<f4", "(2,)"), new Uint8Array(4)), /2 elements .* wanted, 1 found/],
    "an element that is cut short": [npy(header("<f4", "(2,)"), new Uint8Array(7)), /it is no whole \.npy file/],
    "elements too many": [npy(header("<f4", "(2,)"), new Uint8Array(12)), /2 elements .* wanted, 3 found/],
    "big-endian elements": [
      npy(header(">f4", "(1,)"), new Uint8Array(4)),
      /dtype: >f4, which is big-endian; astype\("<f4"\)/,
    ],
    "complex elements": [npy(header("<c8", "(1,)"), new Uint8Array(8)), /its elements are c8; numbers and booleans/],
    "text": [npy(header("<U2", "(1,)"), new Uint8Array(8)), /its elements are U2/],
    "Python objects": [npy(header("|O", "(1,)"), new Uint8Array(8)), /Unsupported dtype: \|O/],
    "records": [npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}"), /Malformed/],
    "a shape that is none": [npy(header("<f4", "(-1,)"), new Uint8Array(4)), /its shape is \[-1\]/],
  };
  for (const [what, [file, message]] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => decodeNpy(file, "x.npy"), failure("TypeError", "INVALID_BYTES", message));
    });
  }
});

describe("decodeJson", () => {
  const read = (text: string, dtype: DType) => {
    const elements = decodeJson(text, "x.json"), tensor = tensorOfJson(elements, elements.dtype ?? dtype);
    return [tensor.dtype, tensor.shape, [...tensor.data]];
  };

  for (const dtype of numeric) {
    it(`reads what encodeJson writes of ${dtype}`, () => {
      const tensor = sample(dtype), text = [...encodeJson(tensor)].join("");
      assert.deepEqual(read(text, "string"), [dtype, [2, 2], [...tensor.data]]);
    });
  }

  it("reads nested arrays, single values, and arrays without elements", () => {
    assert.deepEqual(read("[[1,2,3],[4,5,6]]", "float32"), ["float32", [2, 3], [1, 2, 3, 4, 5, 6]]);
    assert.deepEqual(read("16000", "int64"), ["int64", [], [16000n]]);
    assert.deepEqual(read("[[],[]]", "float32"), ["float32", [2, 0], []]);
    assert.deepEqual(read('{"data":[[1],[0]]}', "bool"), ["bool", [2, 1], [1, 0]]);
    assert.deepEqual(read('{"data":["5","x"],"shape":[1,2]}', "string"), ["string", [1, 2], ["5", "x"]]);
  });

  it("keeps the digits of whole numbers, also of strings", () => {
    const digits = ["9007199254740993", "-9223372036854775808"];
    assert.deepEqual(read(`[${digits[0]}, "${digits[1]}"]`, "int64")[2], digits.map(BigInt));
    assert.deepEqual(read("[1234567890.1234567, 1e20]", "float64")[2], [1234567890.1234567, 1e20]);
  });

  const refused: Record<string, [text: string, message: RegExp]> = {
    "NaN": ["[1, NaN]", /it is not JSON: .*; NaN and Infinity are written as strings/],
    "nothing": ["", /it is not JSON/],
    "null": ["[1, null]", /a number, boolean or string wanted, null found/],
    "arrays that are not all of one length": ["[[1,2],[3]]", /an array of 2 wanted at depth 1, .*, one of 1 found/],
    "numbers among arrays": ["[[1,2],3]", /an array of 2 wanted at depth 1, .*, 3 found/],
    "arrays among numbers": ["[1,[2]]", /wanted, an array found/],
    "an object without data": ['{"shape":[2]}', /an object without data found/],
    "a dtype that there is not": ['{"dtype":"float","data":[1]}', /a dtype "float", which there is not/],
    "a shape that is none": ['{"shape":[-1],"data":[1]}', /a shape \[-1\], which is none/],
    "another number of elements": ['{"shape":[2,2],"data":[1]}', /4 elements of shape \[2, 2\] wanted, 1 found/],
  };
  for (const [what, [text, message]] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => decodeJson(text, "x.json"), failure("TypeError", "INVALID_BYTES", message));
    });
  }

  it("refuses elements that the dtype does not have", () => {
    assert.throws(() => read("[1.5]", "int64"), failure("RangeError", "OUT_OF_RANGE"));
    assert.throws(() => read("[300]", "uint8"), failure("RangeError", "OUT_OF_RANGE"));
    assert.throws(() => read('["NaN"]', "int64"), failure("TypeError", "INVALID_DTYPE"));
    assert.throws(() => read('["one"]', "float32"), failure("TypeError", "INVALID_DTYPE"));
  });

  it("writes large tensors in pieces", () => {
    const tensor = Tensor.from(Float32Array.from({ length: 200_000 }, (_, i) => i / 7)),
      pieces = [...encodeJson(tensor)];
    assert.ok(pieces.length > 3);
    assert.deepEqual(JSON.parse(pieces.join("")).data, [...tensor.data]);
  });
});

describe("convertTensor", () => {
  const convert = (tensor: Tensor, dtype: DType, cast = false) => [...convertTensor(tensor, dtype, cast, "feed").data];
  const of = (dtype: DType, ...values: (number | bigint)[]) => Tensor.from(values, [values.length], dtype);

  it("keeps every number", () => {
    assert.deepEqual(convert(of("float64", 0.5, NaN, -0), "float32"), [0.5, NaN, -0]);
    assert.deepEqual(convert(of("int64", 3n, -4n), "float16"), [3, -4]);
    assert.deepEqual(convert(of("float32", 3, -4), "int64"), [3n, -4n]);
    assert.deepEqual(convert(of("uint16", 1, 256), "float16"), [1, 256]);
    assert.deepEqual(convert(of("uint8", 1, 0), "bool"), [1, 0]);
    assert.deepEqual(convert(Tensor.from(toBFloat16([1.5]), [1], "bfloat16"), "float64"), [1.5]);
    assert.deepEqual(convert(of("float32", 1.5), "bfloat16"), [0x3fc0]);
  });

  const lossy: [Tensor, DType, RegExp, cast: unknown[] | undefined][] = [
    [of("float64", 1, 0.1), "float32", /element 1, 0\.1, would be rounded; --cast/, [1, Math.fround(0.1)]],
    [of("int64", 2n ** 53n + 1n), "float64", /element 0, 9007199254740993, would be rounded/, [2 ** 53]],
    [of("float32", 1e6), "float16", /would be rounded/, [Infinity]],
    [of("float32", 2.75, -2.75), "int8", /element 0 is 2\.75, not a whole number/, [2, -2]],
    [of("uint8", 2), "bool", /element 0 is 2, not a whole number from 0 to 1/, [1]],
    [of("int32", 300), "uint8", /element 0 is 300/, undefined],
    [of("float32", NaN), "int32", /element 0 is NaN/, undefined],
    [Tensor.from(["1"], [1], "string"), "int32", /int32 wanted, string found$/, undefined],
    [of("int32", 1), "string", /string wanted, int32 found$/, undefined],
  ];
  for (const [tensor, dtype, message, cast] of lossy) {
    it(`refuses ${tensor.dtype} ${tensor.data} as ${dtype}${cast ? " unless it is told to" : ""}`, () => {
      assert.throws(() => convert(tensor, dtype), failure("TypeError", "INVALID_DTYPE", message));
      if (cast) assert.deepEqual(convert(tensor, dtype, true), cast);
      else assert.throws(() => convert(tensor, dtype, true), failure("TypeError", "INVALID_DTYPE"));
    });
  }
});
