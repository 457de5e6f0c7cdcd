import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { onBun } from "../cli/spawn.ts";
import { runChild } from "../support/child.ts";

const SCRIPT = new URL("./children/terminated.ts", import.meta.url);
const ROUNDS = onBun ? 30 : 12;

describe("a Worker", () => {
  for (
    const [what, when] of [
      ["run", "terminated in the middle of runs"],
      ["sync", "terminated in the middle of a synchronous run"],
      ["load", "terminated in the middle of loads"],
      ["throw", "that ends by an error"],
    ]
  ) {
    it(`${when} leaves nothing behind, and others' sessions alone`, { timeout: 90_000 }, async () => {
      const { code, stdout, stderr } = await runChild(SCRIPT, [what!, String(ROUNDS)]);
      assert.match(stdout, /^left \{\}, descriptors grown by -?\d+\nEND\n$/, stderr);
      assert.ok(Number(/grown by (-?\d+)/.exec(stdout)![1]) <= 2, stdout); // a pair that the runtime makes at some time
      assert.equal(code, 0, stderr);
    });
  }
});
