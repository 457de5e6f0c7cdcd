import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { decodeInferRequest } from "../../../src/protocol/oip/infer_request.ts";
import { bytesOf, decoded, floatBytes, requestOf } from "./support.ts";

describe("elements behind the JSON", () => {
  const binary = (input: Record<string, unknown>, byteLength: number): string =>
    requestOf({ ...input, parameters: { binary_data_size: byteLength } });

  it("are borrowed where they are aligned, and else copied", () => {
    for (const padding of ["", " "]) {
      const text = binary({}, 8), json = bytesOf(text.padEnd(Math.ceil(text.length / 8) * 8) + padding);
      const body = bytesOf(json, floatBytes(1, 2)), { data } = decodeInferRequest(body, json.length).inputs[0]!.tensor!;
      body.fill(0, json.length);
      assert.deepEqual(data, padding === "" ? Float32Array.of(0, 0) : Float32Array.of(1, 2));
    }
  });

  it("are copied from a part of a Buffer as from any array", () => {
    const text = binary({}, 8), body = Buffer.from(bytesOf(`x${text}`, floatBytes(1, 2)).buffer).subarray(1);
    const { data } = decodeInferRequest(body, text.length).inputs[0]!.tensor!;
    assert.deepEqual([data, data instanceof Float32Array], [Float32Array.of(1, 2), true]);
  });

  it("are of any value, and any of the numbers that JSON has not", () => {
    const { data } = decoded(binary({}, 8), floatBytes(NaN, -Infinity)).inputs[0]!.tensor!;
    assert.deepEqual(data, Float32Array.of(NaN, -Infinity));
  });

  it("are texts, whether short or long, of ASCII or not", () => {
    const texts = ["", "a", "twelve chars", "thirteen long", "köln", "\u{1f600}", "\ufeffa", "ü".repeat(100), "\0\x7f"];
    const pieces = texts.map((text) => bytesOf(Uint8Array.of(bytesOf(text).length, 0, 0, 0), text));
    const bytes = bytesOf(...pieces), text = binary({ datatype: "BYTES", shape: [3, 3] }, bytes.length);
    assert.deepEqual(decoded(text, bytes).inputs[0]!.tensor!.data, texts);
  });

  it("may be none", () => {
    const empty = { shape: [0, 3] };
    assert.equal(decoded(binary(empty, 0), new Uint8Array(0)).inputs[0]!.tensor!.size, 0);
    assert.equal(decoded(binary(empty, 0)).inputs[0]!.tensor!.size, 0);
    assert.deepEqual(decoded(binary({ ...empty, datatype: "BYTES" }, 0)).inputs[0]!.tensor!.data, []);
  });

  it("follow each other in the order of the JSON, between others that are in it", () => {
    const some = (name: string, rest: Record<string, unknown>): unknown => ({ name, shape: [1], ...rest });
    const text = JSON.stringify({
      inputs: [
        some("a", { datatype: "UINT8", parameters: { binary_data_size: 1 } }),
        some("b", { datatype: "FP32", data: [7] }),
        some("c", { datatype: "FP32", parameters: { binary_data_size: 4 } }),
        some("d", { datatype: "BYTES", parameters: { binary_data_size: 7 } }),
      ],
    });
    const { inputs } = decoded(text, Uint8Array.of(9), floatBytes(0.5), bytesOf("\u0003\0\0\0abc"));
    assert.deepEqual(inputs.map(({ tensor }) => [...tensor!.data as Iterable<unknown>]), [[9], [7], [0.5], ["abc"]]);
  });

  const refused: readonly (readonly [what: string, text: string, bytes: Uint8Array, message: RegExp])[] = [
    ["fewer than the shape wants", binary({}, 4), floatBytes(1), /FP32 \[2\] has 8 bytes, 4 found/],
    ["more than the shape wants", binary({}, 12), floatBytes(1, 2, 3), /FP32 \[2\] has 8 bytes, 12 found/],
    ["fewer than it says", binary({}, 8), floatBytes(1), /input "IN": 8 binary bytes wanted, 4 found/],
    ["more than it says", binary({}, 8), floatBytes(1, 2, 3), /request: 4 bytes follow its last binary tensor/],
    ["there though nothing says so", requestOf({ data: [1, 2] }), floatBytes(1), /4 bytes follow/],
    ["a BOOL that is neither", binary({ datatype: "BOOL" }, 2), Uint8Array.of(1, 2), /element 1 is 2, 0 or 1 wanted/],
    ["a size that is none", binary({}, -8), floatBytes(1, 2), /binary_data_size, -8 found/],
    ["a fractional size", binary({}, 7.5), floatBytes(1, 2), /binary_data_size, 7.5 found/],
    [
      "strings that are cut short",
      binary({ datatype: "BYTES" }, 7),
      bytesOf("\u0003\0\0\0abc"),
      /element 1 ends beyond/,
    ],
    [
      "a string that is cut short",
      binary({ datatype: "BYTES" }, 6),
      bytesOf("\u0003\0\0\0ab"),
      /element 0 ends beyond/,
    ],
    ["a string of 4 GB", binary({ datatype: "BYTES" }, 5), Uint8Array.of(255, 255, 255, 255, 0), /element 0 ends/],
    ["a billion strings", binary({ datatype: "BYTES", shape: [1e9] }, 4), new Uint8Array(4), /element 1 ends beyond/],
    ["bytes after the strings", binary({ datatype: "BYTES" }, 9), new Uint8Array(9), /1 bytes follow its 2 elements/],
    [
      "a string that is not UTF-8",
      binary({ datatype: "BYTES" }, 9),
      Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0, 255),
      /element 1 is not UTF-8/,
    ],
  ];
  for (const [what, text, bytes, message] of refused) {
    it(`are refused: ${what}`, () => {
      assert.throws(() => decoded(text, bytes), { name: "OipError", status: 400, message });
    });
  }
});
