import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fromBFloat16, toBFloat16 } from "../../src/tensor/bfloat16.ts";

describe("toBFloat16", () => {
  it("keeps every bfloat16 that is a number as it is", () => {
    for (let bits = 0; bits < 65536; bits++) {
      const value = fromBFloat16(bits);
      if (!Number.isNaN(value)) assert.equal(toBFloat16(value), bits);
    }
  });

  it("rounds to the nearest, ties to even", () => {
    assert.equal(toBFloat16(1 + 2 ** -8), 0x3f80); // half way between 0x3f80 and 0x3f81
    assert.equal(toBFloat16(1 + 3 * 2 ** -8), 0x3f82); // half way between 0x3f81 and 0x3f82
    assert.equal(toBFloat16(1 + 2 ** -8 + 2 ** -20), 0x3f81);
    assert.equal(toBFloat16(1 + 2 ** -8 - 2 ** -20), 0x3f80);
    assert.equal(toBFloat16(-(1 + 3 * 2 ** -8)), 0xbf82);
  });

  it("rounds a float64 once, not first to float32", () => {
    assert.equal(toBFloat16(1 + 2 ** -8 + 2 ** -40), 0x3f81);
    assert.equal(toBFloat16(1 + 3 * 2 ** -8 - 2 ** -40), 0x3f81);
  });

  it("keeps NaN, infinities and zeros, and makes what is too large infinite", () => {
    assert.equal(toBFloat16(NaN), 0x7fc0);
    assert.equal(toBFloat16(Infinity), 0x7f80);
    assert.equal(toBFloat16(-Infinity), 0xff80);
    assert.equal(toBFloat16(-0), 0x8000);
    assert.equal(toBFloat16(3.4e38), 0x7f80);
    assert.equal(toBFloat16(1e300), 0x7f80);
    assert.equal(toBFloat16(1e-300), 0);
  });

  it("takes arrays", () => {
    const values = new Float32Array([1, -2, 0.5]);
    assert.deepEqual(toBFloat16(values), new Uint16Array([0x3f80, 0xc000, 0x3f00]));
    assert.deepEqual(toBFloat16([1, -2, 0.5]), toBFloat16(values));
    assert.deepEqual(fromBFloat16(toBFloat16(values)), values);
  });
});

describe("fromBFloat16", () => {
  it("keeps NaN, with its sign and payload lost or not", () => {
    for (const bits of [0x7f81, 0x7fc0, 0xffff]) assert.ok(Number.isNaN(fromBFloat16(bits)));
    assert.deepEqual(fromBFloat16(new Uint16Array([0x7f80, 0xff80])), new Float32Array([Infinity, -Infinity]));
  });
});
