import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runChild } from "../support/child.ts";
import { writeWeights } from "../support/models.ts";
import { ModelFolder } from "./fixtures.ts";

describe("a registry of a Worker's own", () => {
  it("goes with it, sessions included", { timeout: 60_000 }, async () => {
    using folder = new ModelFolder();
    writeWeights({ path: folder.join("a.onnx"), byteLength: 2e7 });
    const { code, stdout, stderr } = await runChild(new URL("./children/own_registry.ts", import.meta.url), [
      folder.join("a.onnx"),
    ]);
    assert.equal(code, 0, stderr);
    const [, held, left] = /^held (\d+) left (-?\d+)\nEND\n$/.exec(stdout)!.map(Number);
    assert.ok(held! > 90 && left! < held! / 4, stdout);
  });
});

describe("a process", () => {
  for (const what of ["terminate", "terminate loading", "terminate running"]) {
    it(`survives many Workers that end by ${what}`, { timeout: 90_000 }, async () => {
      const script = new URL("./children/terminated.ts", import.meta.url);
      const { code, stdout, stderr } = await runChild(script, [what, "12"]);
      assert.deepEqual([code, stdout], [0, "left {} []\nEND\n"], stderr);
    });
  }

  for (const what of ["loaded", "loading", "waiting"]) {
    it(`keeps its exit code with models ${what}`, { timeout: 60_000 }, async () => {
      const { code, stdout, stderr } = await runChild(new URL("./children/exits.ts", import.meta.url), [what]);
      assert.deepEqual([code, stdout], [7, "END\n"], stderr);
    });
  }

  it("goes on although listeners throw", async () => {
    const { code, stdout, stderr } = await runChild(new URL("./children/throwing_listener.ts", import.meta.url));
    const counts = { thrown: 4, loads: 1, cacheHits: 1, evictions: 1, loadFailures: 1 };
    assert.deepEqual([code, stdout], [0, `${JSON.stringify(counts)}\nEND\n`], stderr);
  });
});
