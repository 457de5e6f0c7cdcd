import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { contentOf, decoded, tensorOf } from "./support.ts";

describe("elements in JSON", () => {
  it("are nested as the shape is, or flat, or half of each", () => {
    const data = Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    for (const text of ["[1,2,3,4,5,6,7,8]", "[[[1,2],[3,4]],[[5,6],[7,8]]]", "[[1,2,3,4],[5,6,7,8]]"]) {
      assert.deepEqual(contentOf(tensorOf("INT32", [2, 2, 2], text)), { dtype: "int32", shape: [2, 2, 2], data });
    }
  });

  it("are one for a scalar, in an array or not", () => {
    for (const text of ["[7]", "7", "[[7]]"]) {
      const { shape, data } = tensorOf("INT64", [], text);
      assert.deepEqual([shape, data], [[], BigInt64Array.of(7n)]);
    }
  });

  it("are none for a shape of none, however long the others are", () => {
    const shapes = [[0], [2, 0], [0, 2 ** 40, 2 ** 40]];
    for (const shape of shapes) assert.equal(tensorOf("FP32", shape, "[]").size, 0);
    assert.equal(tensorOf("BYTES", [2, 0], "[[],[]]").size, 0);
  });

  it("keep all 64 bits", () => {
    const signed = [-(2n ** 63n), -(2n ** 53n) - 1n, -1n, 0n, 9007199254740993n, 2n ** 63n - 1n];
    assert.deepEqual(tensorOf("INT64", [6], `[${signed}]`).data, BigInt64Array.from(signed));
    const unsigned = [0n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 64n - 1n];
    assert.deepEqual(
      tensorOf("UINT64", [2, 2], `[[${unsigned.slice(0, 2)}],[${unsigned.slice(2)}]]`).data,
      BigUint64Array.from(unsigned),
    );
    assert.deepEqual(tensorOf("INT64", [], "9007199254740993").data, BigInt64Array.of(9007199254740993n));
  });

  it("keep all 64 bits beside whatever else is there", () => {
    const long = "9007199254740993", name = `${long}\\"${long}`;
    const inputs = `[{"name":"${name}","shape":[1],"datatype":"BYTES","data":["${long}"]},
      {"name":"b","shape":[1],"datatype":"FP64","data":[${long}]},
      {"name":"c","shape":[1],"datatype":"INT64","data":[${long}]}]`;
    const [a, b, c] = decoded(`{"inputs":${inputs}}`).inputs;
    assert.equal(a!.name, name.replace("\\", ""));
    assert.deepEqual([a, b, c].map((input) => input!.tensor!.data), [
      [long],
      Float64Array.of(9007199254740992),
      BigInt64Array.of(9007199254740993n),
    ]);
  });

  it("are false and true, or 0 and 1", () => {
    assert.deepEqual(tensorOf("BOOL", [4], "[true,false,1,0]").data, Uint8Array.of(1, 0, 1, 0));
  });

  it("are texts", () => {
    const texts = ["", "köln", "\u{1f600}", "\ufeffa", '"\\'];
    assert.deepEqual(tensorOf("BYTES", [5], JSON.stringify(texts)).data, texts);
  });

  const refused: readonly (readonly [datatype: string, data: string, message: RegExp])[] = [
    ["FP32", "[1]", /input "IN": shape \[2\] wants 2 elements, 1 found/],
    ["FP32", "[[1,2],[3]]", /2 elements, 3 found/],
    ["FP32", "{}", /an array wanted as data, an object found/],
    ["FP32", "1", /2 elements, 1 found/],
    ["FP32", "[1,null]", /element 1 is null, which no FP32 is; NaN .* binary_data_size/],
    ["FP32", '[1,"NaN"]', /element 1 is "NaN"/],
    ["FP32", "[1,[2]]", /element 1 is an array/],
    ["FP32", "[true,1]", /element 0 is true/],
    ["FP32", "[1,1e39]", /element 1 is 1e\+39, .* binary_data_size/],
    ["FP64", "[1,-1e999]", /element 1 is -Infinity, .* binary_data_size/],
    ["FP32", "[NaN,1]", /not JSON.*binary_data_size/],
    ["FP64", "[1,-Infinity]", /not JSON.*binary_data_size/],
    ["FP16", "[1,2]", /FP16 has no JSON.*binary_data_size/],
    ["BF16", "[1,2]", /BF16 has no JSON.*binary_data_size/],
    ["INT8", "[1,128]", /element 1 is 128, which no INT8 is/],
    ["INT8", "[-129,1]", /element 0 is -129/],
    ["UINT8", "[1,-1]", /element 1 is -1, which no UINT8 is/],
    ["UINT16", "[65536,1]", /element 0 is 65536/],
    ["INT32", "[1.5,1]", /element 0 is 1.5/],
    ["INT32", '["1",1]', /element 0 is "1"/],
    ["INT32", '[{"valueOf":1,"toString":1},1]', /element 0 is an object/],
    ["UINT32", "[4294967296,0]", /element 0 is 4294967296/],
    ["INT64", "[1.5,1]", /element 0 is 1.5, which no INT64 is/],
    ["INT64", "[9223372036854775808,1]", /element 0 is 9223372036854775808, which no INT64 is/],
    ["INT64", "[1,-9223372036854775809]", /element 1 is -9223372036854775809/],
    ["INT64", '["1",1]', /element 0 is "1"/],
    ["INT64", "[1e18,1]", /element 0 is 1000000000000000000,/],
    ["INT64", `[${"9".repeat(400)},1]`, /element 0 is Infinity/],
    ["INT64", "[true,1]", /element 0 is true/],
    ["UINT64", "[-1,1]", /element 0 is -1, which no UINT64 is/],
    ["UINT64", "[18446744073709551616,1]", /element 0 is 18446744073709551616/],
    ["BOOL", "[true,2]", /element 1 is 2, which no BOOL is/],
    ["BOOL", '["true",true]', /element 0 is "true"/],
    ["BYTES", '["a",1]', /element 1 is 1, which no BYTES is/],
    ["BYTES", '[null,"a"]', /element 0 is null/],
  ];
  for (const [datatype, data, message] of refused) {
    it(`are refused: ${datatype} ${data.slice(0, 40)}`, () => {
      assert.throws(() => tensorOf(datatype, [2], data), { name: "OipError", status: 400, message });
    });
  }
});
