import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { onBun } from "../cli/spawn.ts";
import { runChild } from "../support/child.ts";

const SCRIPT = new URL("./children/exits.ts", import.meta.url);
const ROUNDS = onBun ? 5 : 3;

describe("a process", () => {
  for (const what of ["run", "load", "idle"]) {
    it(`keeps its exit code when it exits with a session in ${what}`, { timeout: 90_000 }, async () => {
      for (let i = 0; i < ROUNDS; i++) {
        const { code, stdout, stderr } = await runChild(SCRIPT, [what, "exit"]);
        assert.deepEqual([code, stdout], [7, "END\n"], stderr);
      }
    });

    it(`dies of its own error when it throws with a session in ${what}`, { timeout: 90_000 }, async () => {
      for (let i = 0; i < ROUNDS; i++) {
        const { code, stdout, stderr } = await runChild(SCRIPT, [what, "throw"]);
        assert.deepEqual([code, stdout], [1, "END\n"], stderr);
        assert.match(stderr, /thrown on purpose/);
      }
    });

    it(`ends by itself when its ${what} is over, though nothing was disposed`, { timeout: 90_000 }, async () => {
      const { code, stdout, stderr } = await runChild(SCRIPT, [what, "end"]);
      assert.deepEqual([code, stdout], [0, "END\n"], stderr);
    });
  }
});
