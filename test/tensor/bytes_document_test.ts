import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { DTYPES, elementByteLength, onnxElementType } from "../../src/tensor/dtype.ts";
import { tensorByteLength } from "../../src/tensor/bytes.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

const DOCUMENT = readFileSync(new URL("../../src/tensor/BYTES.md", import.meta.url), "utf8");

/** The bytes of each example. */
const [floats, strings] = [...DOCUMENT.matchAll(/```\n([^`]*)```/g)].map(([, dump]) => {
  const lines = dump!.trim().split("\n").map((line) => line.slice(line.indexOf(":") + 2).split(" "));
  return Uint8Array.from(lines.flat(), (byte) => parseInt(byte, 16));
}) as [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>];

describe("the document of a tensor's bytes", () => {
  it("has an example of numbers, which is read and written so", () => {
    const tensor = Tensor.fromBytes(floats).as("float32");
    assert.deepEqual([tensor.shape, [...tensor.data]], [[1, 3], [1.5, -2, 0.25]]);
    assert.deepEqual(Tensor.from(new Float32Array([1.5, -2, 0.25]), [1, 3]).toBytes(), floats);
  });

  it("has an example of strings, which is read and written so", () => {
    const tensor = Tensor.fromBytes(strings).as("string");
    assert.deepEqual([tensor.shape, tensor.data], [[3], ["a", "é", ""]]);
    assert.deepEqual(Tensor.from(["a", "é", ""], [3], "string").toBytes(), strings);
  });

  it("tells an example's length by its first 24 bytes, and in words", () => {
    const told = [...DOCUMENT.matchAll(/: (\d+) bytes\.\n\n```/g)].map(([, length]) => Number(length));
    assert.deepEqual([floats, strings].map((bytes) => tensorByteLength(bytes.subarray(0, 24))), told);
  });

  it("has the number and the size of every dtype", () => {
    const rows = [...DOCUMENT.matchAll(/^\| (\d+) +\| (\w+) +\| (\d+|-) +\|/gm)].filter(([, , name]) =>
      !/^\d/.test(name!)
    );
    const found = rows.map(([, number, dtype, bytes]) => [Number(number), dtype, bytes === "-" ? 0 : Number(bytes)]);
    assert.deepEqual(found, DTYPES.map((dtype) => [onnxElementType(dtype), dtype, elementByteLength(dtype)]));
  });

  it("has each field of an example where its table says", () => {
    const row = (name: string) => Number(new RegExp(`^\\| (\\d+) .*\\| ${name} `, "m").exec(DOCUMENT)![1]);
    const view = new DataView(floats.buffer);
    const word = (name: string) => Number(view.getBigUint64(row(name), true));
    assert.equal(new TextDecoder().decode(floats.subarray(row("magic"), 4)), "CLTN");
    assert.deepEqual(["version", "dtype", "rank"].map((name) => floats[row(name)]), [1, onnxElementType("float32"), 2]);
    assert.deepEqual(["byteLength", "dataByteLength", "shape"].map(word), [floats.length, 12, 1]);
  });
});
