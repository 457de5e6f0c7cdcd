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
      assert.deepEqual([code, stdout], [0, "grown by 0, left {}\nEND\n"], stderr);
    });
  }
});
