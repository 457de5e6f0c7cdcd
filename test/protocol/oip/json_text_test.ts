import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isDeeperThan, quoteLongIntegers } from "../../../src/protocol/oip/json_text.ts";

describe("the depth of a JSON text", () => {
  const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

  it("is how many arrays and objects lie in each other", () => {
    assert.deepEqual([100, 101].map((depth) => isDeeperThan(100, nested(depth))), [false, true]);
    assert.deepEqual([2, 3].map((most) => isDeeperThan(most, '[{"a":[]},{"b":[]},[]]')), [true, false]);
    const mixed = '{"a":['.repeat(50);
    assert.deepEqual([isDeeperThan(100, mixed), isDeeperThan(99, mixed)], [false, true]);
  });

  it("is not how many there are", () => {
    assert.equal(isDeeperThan(2, `[${"[],{},".repeat(1000)}[]]`), false);
  });

  it("is told without counting what is in strings", () => {
    for (const text of ['"[[[["', '["\\"[[["]', '["\\\\\\"[[["]', '["\\\\",[],[],[]]', '{"[[[":"{{{"}']) {
      assert.equal(isDeeperThan(2, text), false, text);
    }
    assert.equal(isDeeperThan(2, '["\\\\",[["]"]]]'), true);
  });

  it("is told of what is no JSON, up to where it is not", () => {
    for (const text of ["", '"', '"\\"', '["a', '[["', "]".repeat(10)]) {
      assert.equal(isDeeperThan(2, text), false, text);
    }
    assert.equal(isDeeperThan(100, "[".repeat(1_000_000)), true);
  });
});

describe("long whole numbers in JSON", () => {
  const cases: readonly (readonly [given: string, found: string])[] = [
    ["9007199254740993", '"9007199254740993"'],
    ["[-9223372036854775808,1, 9007199254740993 ]", '["-9223372036854775808",1, "9007199254740993" ]'],
    ['{"a":9007199254740993}', '{"a":"9007199254740993"}'],
    ["[123456789012345]", "[123456789012345]"],
    ["[0.12345678901234567890,1234567890123456789.5]", "[0.12345678901234567890,1234567890123456789.5]"],
    ["[1e00000000000000000001,1E-0000000000000000001]", "[1e00000000000000000001,1E-0000000000000000001]"],
    ["[1e+0000000000000000001,1234567890123456789e1]", "[1e+0000000000000000001,1234567890123456789e1]"],
    ['["9007199254740993","\\"9007199254740993"]', '["9007199254740993","\\"9007199254740993"]'],
    ['{"9007199254740993":9007199254740993}', '{"9007199254740993":"9007199254740993"}'],
    ['["\\\\",9007199254740993]', '["\\\\","9007199254740993"]'],
  ];
  for (const [given, found] of cases) {
    it(`are strings where they are numbers: ${given}`, () => {
      assert.equal(quoteLongIntegers(given), found);
      assert.doesNotThrow(() => JSON.parse(found));
    });
  }
});
