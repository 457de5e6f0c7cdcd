import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runChild } from "../support/child.ts";

describe("a thread that cannot have onnxruntime", () => {
  it("tells that it cannot clean up after one that ended, and goes on", { timeout: 60_000 }, async () => {
    const { code, stdout, stderr } = await runChild(new URL("./children/cannot_join.ts", import.meta.url));
    assert.deepEqual([code, stdout], [0, `${"true LIBRARY_NOT_FOUND\n".repeat(2)}END\n`], stderr);
  });
});
