import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkHello, checkWelcome, type Hello, type Welcome } from "../../src/protocol/hello.ts";
import { PROTOCOL_VERSION } from "../../src/protocol/lane_layout.ts";
import { failure } from "../support/sessions.ts";

const PROTOCOL = failure("WorkerError", "WORKER_PROTOCOL");
const hello: Hello = {
  protocol: PROTOCOL_VERSION,
  oldest: PROTOCOL_VERSION,
  sharesMemory: true,
  pid: 7,
  runtime: "deno 2",
  name: "test",
};
const welcome: Welcome = {
  protocol: PROTOCOL_VERSION,
  pid: 7,
  runtime: "bun 1",
  version: "1.2.3",
  client: 0,
  hasLane: true,
};
const ODD = [undefined, null, -1, 1.5, NaN, Infinity, 2 ** 53, "", "1", [], {}, true];

/** Values that a field must not have: those of another type than it has, and texts that are too long. */
function wrongFor(value: unknown): readonly unknown[] {
  return [...ODD, "x".repeat(201), 7].filter((odd) =>
    typeof odd !== typeof value || (typeof odd === "number" && odd !== 7) ||
    (typeof odd === "string" && odd.length > 200)
  );
}

describe("a client's first words", () => {
  it("are taken without what nobody knows", () => {
    assert.deepEqual(checkHello({ ...hello, other: 1 }), hello);
  });

  for (
    const [oldest, protocol, isTaken] of [[0, 1, true], [1, 9, true], [0, 0, false], [2, 2, false], [
      2,
      9,
      false,
    ]] as const
  ) {
    it(`are ${isTaken ? "taken" : "refused"} of who speaks versions ${oldest} to ${protocol}`, () => {
      const check = (): Hello => checkHello({ ...hello, oldest, protocol });
      if (isTaken) assert.equal(check().protocol, protocol);
      else assert.throws(check, PROTOCOL);
    });
  }

  for (const [field, value] of Object.entries(hello)) {
    it(`are refused with another ${field}`, () => {
      for (const wrong of wrongFor(value)) {
        assert.throws(() => checkHello({ ...hello, [field]: wrong }), PROTOCOL, String(wrong));
      }
    });
  }
});

describe("a worker's first words", () => {
  it("are taken without what nobody knows", () => {
    assert.deepEqual(checkWelcome({ ...welcome, other: 1 }), welcome);
  });

  it("are refused of another version", () => {
    for (const protocol of [0, 2]) assert.throws(() => checkWelcome({ ...welcome, protocol }), PROTOCOL);
  });

  for (const [field, value] of Object.entries(welcome)) {
    it(`are refused with another ${field}`, () => {
      for (const wrong of wrongFor(value)) {
        assert.throws(() => checkWelcome({ ...welcome, [field]: wrong }), PROTOCOL, String(wrong));
      }
    });
  }
});
