import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { datatypeOf, dtypeOfDatatype } from "../../../src/protocol/oip/datatypes.ts";
import { OipError } from "../../../src/protocol/oip/oip_error.ts";
import { DTYPES } from "../../../src/tensor/dtype.ts";

describe("a datatype of the protocol", () => {
  it("is a dtype, and the other way round", () => {
    for (const dtype of DTYPES) assert.equal(dtypeOfDatatype(datatypeOf(dtype)), dtype);
    const some = ["float32", "float16", "bfloat16", "float64", "string", "bool", "int64", "uint8"] as const;
    assert.deepEqual(some.map(datatypeOf), ["FP32", "FP16", "BF16", "FP64", "BYTES", "BOOL", "INT64", "UINT8"]);
  });

  for (const datatype of ["FP8", "fp32", "float32", "", "constructor", "__proto__", 7, null, undefined, ["FP32"], {}]) {
    it(`is refused where it is ${JSON.stringify(datatype)}`, () => {
      assert.throws(() => dtypeOfDatatype(datatype, 'input "IN"'), (error) => {
        assert.ok(error instanceof OipError && error.status === 400);
        assert.match(error.message, /^Cannot read input "IN": its datatype is .*, one of BOOL, .*, FP32, .* wanted$/);
        return true;
      });
    });
  }
});
